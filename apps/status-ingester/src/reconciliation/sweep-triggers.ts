/**
 * Requests sweeps for what this process notices: connects of its lanes, restarts and drops of the broker, a possible loss of
 * data. A request that fails is retried, since nothing else would repeat it.
 */
import type { Uptime } from '@app/broker';
import { backoffMs, counter, type Logger, retry, sharedAbort, valuesOf } from '@app/platform';
import type { BrokerRuns, Maintenance, SweepTrigger } from '@app/registry';
import type { LaneConnect } from '../intake/lane-connections.js';

type OwnTrigger = Exclude<SweepTrigger, 'truncated' | 'interval' | 'request'>;
const OWN_TRIGGERS = valuesOf<OwnTrigger>({
  start: true,
  'session-lost': true,
  'broker-lost': true,
  'broker-restart': true,
  dropped: true,
  'key-space': true,
});
const requested = counter('sweep_requests', 'Sweeps that this process requested, by trigger.', {
  trigger: OWN_TRIGGERS,
});
const dropped = counter('broker_dropped_messages', 'Messages that the broker says it has dropped, of any client.');
const restarts = counter('broker_restarts', 'Restarts of the broker that this process handled.');

/** Shortest time between two sweeps for dropped messages: the broker may drop messages of other clients all the time. */
const DROPPED_EVERY_MS = 60_000;
/** The start of the broker may be computed too late by this much: handshakes within it may have come after the restart. */
const LATE_MS = 2000;

export interface TriggerDependencies {
  maintenance: Pick<Maintenance, 'requestSweep' | 'planReconfirmation' | 'keepSchedule'>;
  brokerRuns: Pick<BrokerRuns, 'report' | 'closeRestart'>;
  sweepEveryMs: number;
  /** 0: clients need not confirm themselves. */
  reconfirmWindowMs: number;
  logger: Logger;
}

export class SweepTriggers {
  private keySpaceMayBeLost = false;
  private droppedSweepAt = -Infinity;
  private droppedTimer: NodeJS.Timeout | undefined;
  private readonly stopping = sharedAbort();
  private readonly pending = new Set<Promise<void>>();

  constructor(private readonly dependencies: TriggerDependencies) {}

  start(): void {
    this.retryUntilStopped(() => this.dependencies.maintenance.keepSchedule(this.dependencies.sweepEveryMs));
  }

  /**
   * A lane that was just acquired needs a sweep, too: its former owner may have died before it could request one. An idle lane
   * needs none, because nothing was lost.
   */
  laneConnected({ sessionPresent, isReconnect, isIdle }: LaneConnect): void {
    if (isIdle && !this.keySpaceMayBeLost) return;
    const ofLane = isReconnect ? 'broker-lost' : 'start';
    const ofBroker = sessionPresent ? ofLane : 'session-lost';
    this.request(this.keySpaceMayBeLost ? 'key-space' : ofBroker);
    this.keySpaceMayBeLost = false;
  }

  /** Requests a sweep at once, for the case that this process acquires no lane again; a lane requests another one. */
  possibleDataLoss(): void {
    this.keySpaceMayBeLost = true;
    this.start();
    this.request('key-space');
  }

  /** Not retried: the report would be late by then, and the next one says the same. */
  brokerUptime(uptime: Uptime): void {
    this.track(
      this.recordUptime(uptime).catch((error: unknown) => {
        this.dependencies.logger.warn(
          { err: error },
          'could not record the uptime of the broker; the next report follows',
        );
      }),
    );
  }

  brokerDropped(messages: number): void {
    dropped.inc(messages);
    // The broker watch is closed after this, and may still report.
    if (this.droppedTimer !== undefined || this.stopping.signal.aborted) return;
    const waitMs = Math.max(0, this.droppedSweepAt + DROPPED_EVERY_MS - performance.now());
    this.droppedTimer = setTimeout(() => {
      this.droppedTimer = undefined;
      this.droppedSweepAt = performance.now();
      this.request('dropped');
    }, waitMs);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    clearTimeout(this.droppedTimer);
    await Promise.all(this.pending);
  }

  private request(trigger: OwnTrigger): void {
    requested.inc({ trigger });
    this.retryUntilStopped(() => this.dependencies.maintenance.requestSweep(trigger));
  }

  private async recordUptime(uptime: Uptime): Promise<void> {
    const { brokerRuns, maintenance, reconfirmWindowMs, logger } = this.dependencies;
    const restart = await brokerRuns.report(uptime);
    if (restart === undefined) return;
    logger.warn({ since: new Date(restart.since).toISOString() }, 'the broker was restarted');
    if (reconfirmWindowMs > 0) {
      const runsMs = uptime.seconds * 1000 + performance.now() - uptime.at;
      await maintenance.planReconfirmation(restart.since - LATE_MS, Math.max(0, reconfirmWindowMs - runsMs));
    }
    requested.inc({ trigger: 'broker-restart' });
    await maintenance.requestSweep('broker-restart');
    await brokerRuns.closeRestart(restart);
    restarts.inc();
  }

  private retryUntilStopped(act: () => Promise<void>): void {
    this.track(
      retry(act, {
        backoff: (failures) => backoffMs(failures, 100, 5000),
        signal: this.stopping.signal,
        onRetry: (error) =>
          this.dependencies.logger.warn({ err: error }, 'could not request or schedule a sweep; trying again'),
      }),
    );
  }

  private track(work: Promise<void>): void {
    const done = work.finally(() => this.pending.delete(done));
    this.pending.add(done);
  }
}
