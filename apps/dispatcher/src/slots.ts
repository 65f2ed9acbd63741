/** Connections whose messages may be published at the same time, shared by the drain runs of a dispatcher. */
export class Slots {
  private readonly waiting = new Set<() => void>();

  constructor(private left: number) {}

  /** What a run may take for further connections: nothing as long as others wait to get any. */
  get spare(): number {
    return this.waiting.size === 0 ? this.free : 0;
  }

  /** None where more are taken than there are: a run takes over what a dead one had, whatever it is. */
  get free(): number {
    return Math.max(0, this.left);
  }

  /** A negative count gives back. */
  take(count: number): void {
    this.left -= count;
    if (count < 0) this.passOn();
  }

  /** Resolves when there is a free one, for one after the other in the order in which they asked. False where the signal comes first. */
  async untilFree(signal: AbortSignal): Promise<boolean> {
    if (this.spare > 0) return true;
    if (signal.aborted) return false;
    return new Promise((resolve) => {
      const abort = (): void => {
        this.waiting.delete(go);
        resolve(false);
      };
      const go = (): void => {
        signal.removeEventListener('abort', abort);
        resolve(true);
      };
      this.waiting.add(go);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  private passOn(): void {
    const [next] = this.waiting;
    if (this.free === 0 || next === undefined) return;
    this.waiting.delete(next);
    next();
  }
}
