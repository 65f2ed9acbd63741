import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, type Logger } from '@app/platform';

/** Shortest time between two rounds, in milliseconds: changes come in bursts, and one round follows several. */
const SETTLE_MS = 10;

/**
 * Runs a round again and again: when it is due, soon after a poke, and after a failure when the back-off allows it,
 * however often it is poked.
 */
export class ReconcileLoop {
  private readonly backoff = new Backoff(50, 1000, 5000);
  private stopped = false;
  private poked = false;
  private wake: (() => void) | undefined;
  private running: Promise<void> | undefined;

  /** @param round resolves with the milliseconds until the next round is due at the latest */
  constructor(
    private readonly round: () => Promise<number>,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  trigger(): void {
    this.poked = true;
    this.wake?.();
  }

  /** Begins no more rounds; resolves when the last one is over. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.trigger();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.hasStopped()) {
      this.poked = false;
      let waitMs: number;
      try {
        waitMs = await this.round();
        this.backoff.succeeded();
      } catch (error) {
        waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'could not take part; trying again');
        this.poked = false;
      }
      await this.idle(waitMs);
      if (!this.hasStopped()) await sleep(SETTLE_MS);
    }
  }

  /** A method, so that each call is taken as a new answer: it may change during any `await`. */
  private hasStopped(): boolean {
    return this.stopped;
  }

  private async idle(ms: number): Promise<void> {
    if (this.poked || this.stopped) return;
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
