/**
 * The order in which an app starts and stops, as one list. Steps start from top to bottom while the app already listens, so
 * that probes are answered while a start waits for Redis. Steps stop from bottom to top.
 *
 * L1 A stop first reports unready and aborts the signal that was passed to the starts.
 * L2 Each step stops at most once, and only if its start has begun. A step without `start` is always stopped: it closes what
 *    was opened when it was constructed.
 * L3 A stop that fails or exceeds its time limit is logged, and the next step is stopped. `allStopped` says so afterwards.
 * L4 If a start fails, the steps that were started are stopped, and the start rejects with the cause.
 */
import type { OnApplicationShutdown, OnModuleDestroy } from '@nestjs/common';
import type { Draining } from './draining.js';
import type { Logger } from './logger.js';
import { sharedAbort } from './shared-abort.js';
import { closeWithin } from './within.js';

export interface LifecycleStep {
  /** Name for log lines. */
  name: string;
  /** May return a promise. `stopping` is aborted when the app stops: the start must then end soon, and may reject. */
  start?(stopping: AbortSignal): unknown;
  /** May return a promise. */
  stop?(): unknown;
  /** Time limit of the stop, in milliseconds. Default: `STOP_MS`. */
  stopWithinMs?: number;
}

/**
 * The place in the list at which Nest closes its servers (HTTP and microservices). Steps below it stop while requests are
 * still answered; steps above it stop after the last answer.
 */
export const SERVERS = 'servers';

/** Time limit of a stop, unless its step sets another one. */
const STOP_MS = 5000;

export class Lifecycle implements OnModuleDestroy, OnApplicationShutdown {
  private readonly begun = new Set<LifecycleStep>();
  private readonly stopped = new Set<LifecycleStep>();
  private readonly stopping = sharedAbort();
  private notStopped = false;
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
          this.logger.debug({ step: step.name, err: error }, 'the app is stopping: the start of this step has ended');
          return false;
        }
        this.logger.error({ step: step.name }, 'this step did not start: stopping the steps before it');
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

  /** Whether each step that was stopped has ended in time and without a failure. */
  get allStopped(): boolean {
    return !this.notStopped;
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
      if (await closeWithin(stopWithinMs, () => step.stop?.())) return;
      this.notStopped = true;
      this.logger.warn({ step: name, wait_ms: stopWithinMs }, 'this step did not stop in time: stopping the next');
    } catch (error) {
      this.notStopped = true;
      this.logger.error({ step: name, err: error }, 'this step failed to stop');
    }
  }
}
