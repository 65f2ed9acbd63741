/** Waiting time before the next try: doubles from `baseMs` to `capMs`, the upper half of it at random, so that a crowd spreads out. */
export function backoffMs(attempt: number, baseMs: number, capMs: number, random: () => number = Math.random): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}

/**
 * Counts failures in a row. A success resets the count only after a healthy uptime, so that something that
 * connects and dies at once keeps backing off.
 */
export class Backoff {
  private failures = 0;
  private healthySince: number | undefined;

  constructor(
    private readonly baseMs: number,
    private readonly capMs: number,
    private readonly healthyAfterMs: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  succeeded(): void {
    this.healthySince ??= this.now();
  }

  /** Notes a failure and returns how many milliseconds to wait. */
  failed(): number {
    if (this.healthySince !== undefined && this.now() - this.healthySince >= this.healthyAfterMs) this.failures = 0;
    this.healthySince = undefined;
    return backoffMs(this.failures++, this.baseMs, this.capMs);
  }
}
