import type { MessageStatus } from '@cloud-connector/client';
import { MESSAGE_STATUSES } from '../../ui/status.js';
import { oneOf, textIn, type Search } from '../search-values.js';

const HOUR_MS = 3_600_000;

/** How long ago a message may have been accepted. */
export const SPANS = {
  '1h': { text: 'In the last hour', ms: HOUR_MS },
  '24h': { text: 'In the last 24 hours', ms: 24 * HOUR_MS },
  '7d': { text: 'In the last 7 days', ms: 168 * HOUR_MS },
} as const;
export type Span = keyof typeof SPANS;

/** The filters, as they stand in the address. */
export interface MessagesSearch {
  status?: MessageStatus | undefined;
  client?: string | undefined;
  span?: Span | undefined;
}

export function messagesSearch(search: Search): MessagesSearch {
  return {
    status: oneOf(search, 'status', MESSAGE_STATUSES),
    client: textIn(search, 'client'),
    span: oneOf(search, 'span', Object.keys(SPANS) as Span[]),
  };
}

export function sinceOf(span: Span, nowMs: number): string {
  return new Date(nowMs - SPANS[span].ms).toISOString();
}
