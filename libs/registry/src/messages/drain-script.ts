/**
 * One step of a drain run: completes the published messages of a shard's connections, claims the next message of each,
 * and takes connections that wait. The head of an outbox is the message in flight; it leaves the list only when
 * completed: if a dispatcher dies in between, the message is published again under the same id.
 */
import { commands } from '../commands.js';
import type { MessageKeys } from '../keys.js';

/** How the drain of a connection ended, in the order of a reply's counts. */
export const DRAIN_ENDS = ['empty', 'offline', 'waiting', 'interrupted'] as const;
export type DrainEnd = (typeof DRAIN_ENDS)[number];

export type StepKind = 'draining' | 'idle' | 'lost' | 'superseded';

/** `[client id, message id, directive, payload, left ms, request id, attempt, created at]` */
export type ClaimReply = [string, string, string, string, number, string, number, string];

export const drain = commands.load<
  MessageKeys,
  {
    run: string;
    under_way: number;
    room: number;
    first_wait_ms: number;
    longest_wait_ms: number;
    settlements: readonly (string | number)[];
  },
  [run: string, kind: StepKind, ends: number[], ...ClaimReply[]]
>('drain');
