/** Permits to publish for a connection, shared by the shards of a dispatcher. They bound the publishes in flight. */
export class Semaphore {
  private readonly waiting = new Set<() => void>();

  constructor(private permits: number) {}

  /**
   * How many permits a shard may take without waiting: none while others wait for one. The number of permits is negative for a
   * while if a shard takes over the claims of a dead dispatcher, or its step is answered late.
   */
  get available(): number {
    return this.waiting.size === 0 ? Math.max(0, this.permits) : 0;
  }

  /** Whether somebody waits for a permit. */
  get contended(): boolean {
    return this.waiting.size > 0;
  }

  /** Takes permits without waiting, even if there are not enough. */
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

  /** Waits for a permit, in the order of the calls. @returns false if the signal is aborted first */
  async acquireOne(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.available > 0) {
      this.permits--;
      return true;
    }
    return new Promise((resolve) => {
      const abort = (): void => {
        this.waiting.delete(grant);
        resolve(false);
      };
      const grant = (): void => {
        signal.removeEventListener('abort', abort);
        this.permits--;
        resolve(true);
      };
      this.waiting.add(grant);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
