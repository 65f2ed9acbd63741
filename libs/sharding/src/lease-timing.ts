/**
 * The times of a lease, in milliseconds. Redis alone decides when a lease expires. The holder stops acting before that, by
 * its own monotonic clock, counted from when it *sent* the last renewal (S3). Wall clocks are not compared.
 *
 *     sent ───── renewAt ──────────── actUntil ───── earliest expiry in Redis
 */
export class LeaseTiming {
  /** How long after the last renewal was sent the next one is due. */
  readonly renewEveryMs: number;
  /** How long after the last renewal was sent the holder may act. The rest of the lease is a safety margin. */
  readonly actForMs: number;

  /**
   * @param leaseMs how long a lease lasts without a renewal; after a crash the shards stand still for this time
   * @param answerMs the longest time that a Redis command may take before it counts as failed
   * @throws RangeError if one slow reply would already cost the lease
   */
  constructor(
    readonly leaseMs: number,
    readonly answerMs: number,
  ) {
    this.renewEveryMs = Math.floor(leaseMs / 4);
    this.actForMs = leaseMs - this.renewEveryMs;
    if (!(answerMs > 0 && this.renewEveryMs + answerMs < this.actForMs)) {
      throw new RangeError(
        `a lease of ${leaseMs} ms is too short for answers that may take ${answerMs} ms: ` +
          `the lease must be longer than twice that`,
      );
    }
  }

  renewAt(sentAt: number): number {
    return sentAt + this.renewEveryMs;
  }

  actUntil(sentAt: number): number {
    return sentAt + this.actForMs;
  }

  mayAct(sentAt: number, now: number): boolean {
    return now < this.actUntil(sentAt);
  }
}
