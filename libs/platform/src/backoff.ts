/**
 * The wait before the next attempt, in milliseconds. A ceiling doubles from `baseMs` to `capMs`; the wait is random between
 * half of the ceiling and the ceiling, so that many clients do not retry at the same moment.
 */
export function backoffMs(attempt: number, baseMs: number, capMs: number, random: () => number = Math.random): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}

/**
 * Counts failures in a row. A success resets the count only after a healthy uptime, so that a connection that opens and
 * breaks at once keeps backing off.
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

  /** Counts a failure. @returns how many milliseconds to wait */
  failed(): number {
    if (this.healthySince !== undefined && this.now() - this.healthySince >= this.healthyAfterMs) this.failures = 0;
    this.healthySince = undefined;
    return backoffMs(this.failures++, this.baseMs, this.capMs);
  }
}
