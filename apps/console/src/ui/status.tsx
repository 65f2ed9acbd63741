import type { Connection, MessageStatus } from '@cloud-connector/client';
import type { ReactNode } from 'react';
import { Badge, type BadgeTone } from './badge.js';

const TONES: Record<MessageStatus, BadgeTone> = {
  queued: 'accent',
  held: 'warn',
  in_flight: 'accent',
  sent: 'good',
  answered: 'good',
  failed: 'bad',
  unanswered: 'bad',
  expired: 'warn',
  cancelled: 'neutral',
};

export const MESSAGE_STATUSES = Object.keys(TONES) as MessageStatus[];

/** A status in words. */
export function statusText(status: MessageStatus): string {
  return status.replace('_', ' ');
}

export function StatusBadge({ status }: { status: MessageStatus }): ReactNode {
  return <Badge tone={TONES[status]}>{statusText(status)}</Badge>;
}

export function StateBadge({ state }: { state: Connection['state'] }): ReactNode {
  return <Badge tone={state === 'online' ? 'good' : 'neutral'}>{state}</Badge>;
}
