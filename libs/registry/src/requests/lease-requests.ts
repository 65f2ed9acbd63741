/** Leases requests of a rate limit from Redis, which counts the windows of all gateways. */
import type { Redis } from '@app/platform';
import { commands } from '../commands.js';

/** The requests of one second that a limit admits, or of another window. */
export interface RateLimit {
  requests: number;
  windowMs: number;
}

export interface WantedRequests {
  /** Requests that wait for the reply. They are leased as long as the limit admits them. */
  waiting: number;
  /** Requests that may come later in the window. */
  spare: number;
  /** Requests of the next window. */
  ahead: number;
}

export interface LeasedRequests {
  /** Requests of the current window. */
  leased: number;
  /** Requests of the next window. */
  ahead: number;
  /** Requests of the current window that no gateway has leased. */
  left: number;
  /** Time until the current window ends. */
  leftMs: number;
}

const lease = commands.load<
  { counter: string },
  { limit: number; window_ms: number; waiting: number; spare: number; ahead: number },
  { leased: number; ahead: number; left: number; left_ms: number }
>('lease-requests');

/** A window begins with its first lease. All leases of one window together do not exceed the limit. */
export async function leaseRequests(
  redis: Redis,
  counter: string,
  { requests, windowMs }: RateLimit,
  wanted: WantedRequests,
): Promise<LeasedRequests> {
  const { left_ms, ...reply } = await lease.run(
    redis,
    { counter },
    { limit: requests, window_ms: windowMs, ...wanted },
  );
  return { ...reply, leftMs: left_ms };
}
