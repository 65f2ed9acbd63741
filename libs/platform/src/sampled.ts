/** Lets one of many equal log lines through each second, and says how many were left out since the last one. */
export class Sampled {
  private openAt = -Infinity;
  private skipped = 0;

  constructor(
    private readonly everyMs = 1000,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Calls `log` if its time has come, with the number of calls that were left out before. */
  take(log: (skipped: number) => void): void {
    const now = this.now();
    if (now < this.openAt) {
      this.skipped++;
      return;
    }
    const { skipped } = this;
    this.openAt = now + this.everyMs;
    this.skipped = 0;
    log(skipped);
  }
}
