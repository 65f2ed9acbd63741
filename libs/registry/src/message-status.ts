/** The statuses of an outbound message and the allowed transitions. The Lua commands enforce the same table. */

export const STORED_STATUSES = [
  'queued',
  'in_flight',
  'sent',
  'answered',
  'failed',
  'unanswered',
  'expired',
  'cancelled',
] as const;
/** A status as stored. `held` is never stored: it is derived when a message is read. */
export type StoredStatus = (typeof STORED_STATUSES)[number];

export const MESSAGE_STATUSES = [
  'queued',
  'held',
  'in_flight',
  'sent',
  'answered',
  'failed',
  'unanswered',
  'expired',
  'cancelled',
] as const;
/** A status as callers see it: a `queued` message is `held` while its client is offline or not subscribed. */
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

export const TRANSITIONS: Readonly<Record<StoredStatus, readonly StoredStatus[]>> = {
  // `answered`, `failed`: the client answered an earlier publish. `failed`: it may also have moved to another account.
  queued: ['in_flight', 'expired', 'cancelled', 'answered', 'failed'],
  // An answer wins over a later publish result.
  in_flight: ['sent', 'queued', 'answered', 'failed'],
  // `unanswered`: no answer came before the response deadline. Without a deadline, a message may stay `sent`.
  sent: ['answered', 'failed', 'unanswered'],
  answered: [],
  failed: [],
  unanswered: [],
  expired: [],
  cancelled: [],
};

/** Whether a message keeps this status for good. */
export function isFinalStatus(status: MessageStatus): boolean {
  return status !== 'held' && TRANSITIONS[status].length === 0;
}

/** In the details of a status: the client may have the message, since the result of a publish got lost. */
export const OUTCOME_UNKNOWN = 'the outcome of a publish is unknown';
/** Details of a message that failed since it may not be published again. An answer to it counts as a late one. */
export const EXPIRED_UNKNOWN = `its time to live has ended, and ${OUTCOME_UNKNOWN}`;

/** Limit for the details of a status, in characters; these have at most 3,000 bytes. */
const MAX_DETAILS = 1000;

export function truncateDetails(details: string): string {
  return details.slice(0, MAX_DETAILS).toWellFormed();
}

export interface StatusChange {
  status: StoredStatus;
  /** Epoch milliseconds. */
  at: number;
  details?: string;
}
