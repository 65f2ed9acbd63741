/** One step of a drain run, see `drain.lua`. */
import { commands } from '../commands.js';
import type { MessageKeys } from '../keys.js';

/** Why the drain of a connection ended, in the order of the counts in the reply. */
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
