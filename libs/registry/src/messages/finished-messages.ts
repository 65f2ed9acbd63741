import type { RegistryKeys } from '../keys.js';

/**
 * Limits for the finished messages of a shard. Messages are forgotten when their retention has ended, or earlier if the
 * shard exceeds a limit: then the payer with the most bytes loses its oldest messages first, if it has more than its part.
 */
export interface FinishedLimits {
  /** Number of finished messages. */
  count: number;
  /** Bytes of finished messages and of the answers to their Idempotency-Keys. */
  bytes: number;
}

/** The defaults. */
export const FINISHED_LIMITS: FinishedLimits = { count: 100_000, bytes: 134_217_728 };

/** The sorted set in which 0.1.0 has the finished messages of a shard, by the end of their retention. */
export function formerFinished(keys: RegistryKeys, shard: number): string {
  return `${keys.shard(shard)}:finished`;
}
