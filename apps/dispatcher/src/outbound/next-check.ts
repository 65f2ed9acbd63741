/**
 * When a dispatcher looks for shards without an owner: regularly, on request, and when the lease or the heartbeat of another
 * dispatcher ends or a connection becomes ready, as far as the last look has shown. Times are those of `performance.now`.
 */
import { CHECK_MS } from './outbound-times.js';

export class NextCheck {
  private at = -Infinity;

  /** @param earlyMs a round that comes this much early looks as well */
  constructor(private readonly earlyMs: number) {}

  /** Whether to look now. If so, `ended` or `request` must follow. */
  begins(now: number): boolean {
    if (now < this.at) return false;
    this.at = Infinity;
    return true;
  }

  /** A look that began at `now` has ended; a shard may need an owner in `ms`. A request that came in the meantime stays. */
  ended(now: number, ms: number): void {
    this.at = Math.min(this.at, now + Math.min(CHECK_MS - this.earlyMs, ms));
  }

  /** Looks with the next round. */
  request(): void {
    this.at = -Infinity;
  }
}
