import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, type Logger } from '@app/platform';

/** The shortest time between two rounds, in milliseconds: changes come in bursts, and one round handles a whole burst. */
const BURST_MS = 10;

/**
 * Repeats a round: when it is due, and soon after `trigger`. After a failed round it waits for the back-off, and ignores
 * triggers until then.
 */
export class ReconcileLoop {
  private readonly backoff = new Backoff(50, 1000, 5000);
  private stopped = false;
  private triggered = false;
  private wake: (() => void) | undefined;
  private running: Promise<void> | undefined;

  /** @param round resolves with the longest time to wait for the next round, in milliseconds */
  constructor(
    private readonly round: () => Promise<number>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  trigger(): void {
    this.triggered = true;
    this.wake?.();
  }

  /** Resolves when the round under way has ended; no other begins. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.trigger();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.hasStopped()) {
      this.triggered = false;
      let waitMs: number;
      try {
        waitMs = await this.round();
        this.backoff.succeeded();
      } catch (error) {
        waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'could not send a heartbeat; trying again');
        this.triggered = false;
      }
      await this.wait(waitMs);
      if (!this.hasStopped()) await sleep(BURST_MS);
    }
  }

  /** A method, because the compiler would take the field for unchanged after an `await`. */
  private hasStopped(): boolean {
    return this.stopped;
  }

  /** Waits until the time has passed, or until the next trigger. */
  private async wait(ms: number): Promise<void> {
    if (this.triggered || this.stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}
