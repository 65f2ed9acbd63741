/** Permits to publish for a connection, shared by the drain runs of a dispatcher: so many connections publish at a time. */
export class Semaphore {
  private readonly waiting = new Set<() => void>();

  constructor(private permits: number) {}

  /**
   * How many permits a run may take without waiting: none while others wait for one. The number of permits may be negative
   * for a while, when a run takes over what a dead one had or its claim is answered late.
   */
  get available(): number {
    return this.waiting.size === 0 ? Math.max(0, this.permits) : 0;
  }

  /** Takes permits without waiting, also more than there are. */
  acquire(count: number): void {
    this.permits -= count;
  }

  release(count: number): void {
    this.permits += count;
    for (const next of this.waiting) {
      if (this.permits <= 0) return;
      this.waiting.delete(next);
      next();
    }
  }

  /** Waits for a permit, first come first served. @returns false if the signal is aborted first */
  async acquireOne(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.available > 0) {
      this.permits--;
      return true;
    }
    return new Promise((resolve) => {
      const abort = (): void => {
        this.waiting.delete(go);
        resolve(false);
      };
      const go = (): void => {
        signal.removeEventListener('abort', abort);
        this.permits--;
        resolve(true);
      };
      this.waiting.add(go);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
