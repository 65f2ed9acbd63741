import { waitUntil, type WaitResult } from './timed-wait.js';

/** Publishes that wait until the connection takes another one. They continue in the order of their arrival. */
export class PublishQueue {
  private readonly waiting = new Set<() => void>();

  /** Waits for its turn, until a time by `performance.now()`, or until the signal is aborted. */
  async turn(deadline: number, signal: AbortSignal | undefined): Promise<WaitResult> {
    let proceed: () => void = () => undefined;
    const turn = new Promise<void>((resolve) => {
      proceed = () => {
        this.waiting.delete(proceed);
        resolve();
      };
    });
    this.waiting.add(proceed);
    const result = await waitUntil(deadline, turn, signal);
    this.waiting.delete(proceed);
    return result;
  }

  /** Lets the first one continue. */
  releaseOne(): void {
    const [proceed] = this.waiting;
    proceed?.();
  }

  releaseAll(): void {
    for (const proceed of [...this.waiting]) proceed();
  }
}
