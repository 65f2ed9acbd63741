import { Backoff } from '@app/platform';

/** Waiting times after failures, in milliseconds. */
const RETRY = { base: 50, cap: 1000, healthyAfter: 5000 } as const;

/**
 * When the lease of each shard or lane may be requested again: not while another process holds it, and not for a while
 * after a failed attempt.
 */
export class AcquireBackoff {
  /** When the leases that other processes hold expire at the latest. */
  private readonly leasedUntil = new Map<string, number>();
  private readonly failures = new Map<string, { backoff: Backoff; notBefore: number }>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Another process holds the lease for `ms` more, unless it releases the lease earlier. */
  leasedFor(name: string, ms: number): void {
    this.leasedUntil.set(name, this.now() + ms);
  }

  /** The members announced other leases, so any lease may be free now. The waits after failures stay. */
  holdersChanged(): void {
    this.leasedUntil.clear();
  }

  succeeded(name: string): void {
    this.leasedUntil.delete(name);
    this.failures.get(name)?.backoff.succeeded();
  }

  /** @returns how many milliseconds to wait; the time grows with each failure in a row */
  failed(name: string): number {
    const backoff =
      this.failures.get(name)?.backoff ?? new Backoff(RETRY.base, RETRY.cap, RETRY.healthyAfter, this.now);
    const waitMs = backoff.failed();
    this.failures.set(name, { backoff, notBefore: this.now() + waitMs });
    return waitMs;
  }

  /** Milliseconds until the next attempt is due; 0 or less if it is due now. */
  dueIn(name: string): number {
    const at = Math.max(this.leasedUntil.get(name) ?? 0, this.failures.get(name)?.notBefore ?? 0);
    return at - this.now();
  }
}
