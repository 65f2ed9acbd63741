/** Connections whose messages may be published at the same time, shared by the drain runs of a dispatcher. */
export class Slots {
  private readonly waiting = new Set<() => void>();

  constructor(private left: number) {}

  /**
   * What a run may take at once: nothing as long as others wait to get one. More may be taken than there are, where a run
   * takes over what a dead one had, or is answered late.
   */
  get spare(): number {
    return this.waiting.size === 0 ? Math.max(0, this.left) : 0;
  }

  take(count: number): void {
    this.left -= count;
  }

  give(count: number): void {
    this.left += count;
    for (const next of this.waiting) {
      if (this.left <= 0) return;
      this.waiting.delete(next);
      next();
    }
  }

  /** Takes one as soon as there is one, in the order in which it was asked for. False where the signal comes first. */
  async takeOne(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    if (this.spare > 0) {
      this.left--;
      return true;
    }
    return new Promise((resolve) => {
      const abort = (): void => {
        this.waiting.delete(go);
        resolve(false);
      };
      const go = (): void => {
        signal.removeEventListener('abort', abort);
        this.left--;
        resolve(true);
      };
      this.waiting.add(go);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
