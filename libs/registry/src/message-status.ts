/** The statuses of an outbound message and how it moves between them; the scripts enforce this very table. */

export const STORED_STATUSES = ['queued', 'in_flight', 'sent', 'failed', 'expired', 'cancelled'] as const;
/** As stored. `held` is not: it is derived when read. */
export type StoredStatus = (typeof STORED_STATUSES)[number];

export const MESSAGE_STATUSES = ['queued', 'held', 'in_flight', 'sent', 'failed', 'expired', 'cancelled'] as const;
/** As callers see it: `held` is a `queued` message whose client is offline or does not listen. */
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

export const TRANSITIONS: Readonly<Record<StoredStatus, readonly StoredStatus[]>> = {
  // `failed`: the client belongs to another account now, or it answered `message-error` to an earlier publish.
  queued: ['in_flight', 'expired', 'cancelled', 'failed'],
  in_flight: ['sent', 'queued', 'failed'],
  // By `message-error`, which wins over a later publish result.
  sent: ['failed'],
  failed: [],
  expired: [],
  cancelled: [],
};

/** Characters kept of a status' details: 3,000 bytes at most. */
const MAX_DETAILS = 1000;

/** Details as they are stored. */
export function truncateDetails(details: string): string {
  return details.slice(0, MAX_DETAILS).toWellFormed();
}

export interface StatusChange {
  status: StoredStatus;
  /** Epoch milliseconds. */
  at: number;
  details?: string;
}

/** Reads the stored history, oldest first. */
export function parseHistory(history: string): StatusChange[] {
  return history.split('\n').map((line) => {
    const [status = '', at = '', ...details] = line.split(' ');
    return {
      status: status as StoredStatus,
      at: Number(at),
      ...(details.length > 0 && { details: details.join(' ') }),
    };
  });
}
