/**
 * How finished messages of a shard are forgotten: when their retention has ended, or before it when the shard has too
 * many of them or too many bytes. Then the payer that has most of them, and more than its part, loses its own oldest.
 */
export interface FinishedLimits {
  /** Finished messages that a shard keeps at most. */
  count: number;
  /** Bytes of them, and of the Idempotency-Keys that they came with. */
  bytes: number;
}

/** Unless set otherwise. */
export const FINISHED_LIMITS: FinishedLimits = { count: 100_000, bytes: 134_217_728 };
