/**
 * The times of a lease, in milliseconds. Redis alone judges when a lease ends; its holder stops acting before that,
 * by its own monotonic clock, measured from when the renewal was *sent* (S3). No wall clocks are compared.
 *
 *     sent ───── renewAt ──────────── actUntil ───── the lease ends in Redis, at the earliest
 */
export class LeaseTiming {
  /** A lease is renewed this long after its last renewal was sent. */
  readonly renewEveryMs: number;
  /** A holder acts this long after its last renewal was sent; what is left of the lease is the margin. */
  readonly actForMs: number;

  /**
   * @param leaseMs how long a lease holds without a renewal: what a crash costs
   * @param answerMs longest a Redis command may take before it counts as failed
   * @throws RangeError if one slow answer would already cost the lease
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
