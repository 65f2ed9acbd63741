/** Limits log lines that repeat: writes one in each interval, with the number of lines skipped since the last one. */
export class Sampled {
  private nextAt = -Infinity;
  private skipped = 0;

  constructor(
    private readonly intervalMs = 1000,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Calls `log` if the interval has passed, with the number of calls that were skipped since the last one. */
  take(log: (skipped: number) => void): void {
    const now = this.now();
    if (now < this.nextAt) {
      this.skipped++;
      return;
    }
    const { skipped } = this;
    this.nextAt = now + this.intervalMs;
    this.skipped = 0;
    log(skipped);
  }
}
