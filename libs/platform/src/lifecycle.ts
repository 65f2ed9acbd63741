/**
 * The order in which an app starts and stops, as one list. Steps start from top to bottom when the app already listens,
 * so that probes are answered while the start waits for Redis. They stop from bottom to top.
 *
 * L1 The first act of a stop is to report unready and to abort the signal that starts were given.
 * L2 Each step stops at most once, and only if its start has begun. A step without a start is always stopped: it closes
 *    what was opened when it was constructed.
 * L3 A stop that fails, or exceeds its time limit, is logged, and the next step is stopped.
 * L4 If a start fails, what was started is stopped, and the start rejects with the cause.
 */
import type { OnApplicationShutdown, OnModuleDestroy } from '@nestjs/common';
import type { Draining } from './draining.js';
import type { Logger } from './logger.js';
import { sharedAbort } from './shared-abort.js';
import { closeWithin } from './within.js';

export interface LifecycleStep {
  /** As it is logged. */
  name: string;
  /** A promise is waited for. `stopping` is aborted when the app stops: the start then ends soon, and may reject. */
  start?(stopping: AbortSignal): unknown;
  /** A promise is waited for. */
  stop?(): unknown;
  /** How long the stop is waited for, in milliseconds. Default: `STOP_MS`. */
  stopWithinMs?: number;
}

/**
 * The place in the list at which Nest closes its servers (HTTP and microservices). Steps below it stop while requests are
 * still answered; steps above it stop after the last answer.
 */
export const SERVERS = 'servers';

/** How long a stop is waited for unless its step says otherwise. */
const STOP_MS = 5000;

export class Lifecycle implements OnModuleDestroy, OnApplicationShutdown {
  private readonly begun = new Set<LifecycleStep>();
  private readonly stopped = new Set<LifecycleStep>();
  private readonly stopping = sharedAbort();
  private readonly aboveServers: readonly LifecycleStep[];
  private readonly belowServers: readonly LifecycleStep[];

  constructor(
    steps: readonly (LifecycleStep | typeof SERVERS)[],
    private readonly draining: Draining,
    private readonly logger: Logger,
  ) {
    const place = steps.indexOf(SERVERS);
    const isStep = (step: LifecycleStep | typeof SERVERS): step is LifecycleStep => step !== SERVERS;
    this.aboveServers = steps.slice(0, Math.max(0, place)).filter(isStep);
    this.belowServers = steps.slice(place + 1).filter(isStep);
  }

  /** @returns false if the app began to stop before the last step @throws what a step rejected with */
  async start(): Promise<boolean> {
    for (const step of [...this.aboveServers, ...this.belowServers]) {
      if (this.isStopping()) return false;
      this.begun.add(step);
      try {
        await step.start?.(this.stopping.signal);
      } catch (error) {
        if (this.isStopping()) {
          this.logger.debug({ step: step.name, err: error }, 'the stop ended the start of this step');
          return false;
        }
        this.logger.error({ step: step.name }, 'this step did not start: stopping those before it');
        this.beginStop();
        await this.stop([...this.aboveServers, ...this.belowServers]);
        throw error;
      }
    }
    return !this.isStopping();
  }

  async onModuleDestroy(): Promise<void> {
    this.beginStop();
    await this.stop(this.belowServers);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.stop(this.aboveServers);
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private beginStop(): void {
    this.draining.begin();
    this.stopping.abort();
  }

  private async stop(steps: readonly LifecycleStep[]): Promise<void> {
    for (const step of [...steps].reverse()) {
      if (this.stopped.has(step) || (step.start !== undefined && !this.begun.has(step))) continue;
      this.stopped.add(step);
      await this.stopStep(step);
    }
  }

  private async stopStep(step: LifecycleStep): Promise<void> {
    const { name, stopWithinMs = STOP_MS } = step;
    try {
      await closeWithin(
        stopWithinMs,
        () => step.stop?.(),
        () =>
          this.logger.warn({ step: name, wait_ms: stopWithinMs }, 'this step did not stop in time: it is left behind'),
      );
    } catch (error) {
      this.logger.error({ step: name, err: error }, 'this step failed to stop');
    }
  }
}
