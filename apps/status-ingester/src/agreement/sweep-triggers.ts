/**
 * What makes a sweep due, as one process notices it: its lanes, the broker, the key space. A request that fails is made
 * again, since nothing else would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, counter, type Logger, valuesOf } from '@app/platform';
import type { Maintenance, SweepTrigger, Sweeps } from '@app/registry';

type OwnTrigger = Exclude<SweepTrigger, 'truncated' | 'interval' | 'request'>;
const OWN_TRIGGERS = valuesOf<OwnTrigger>({
  start: true,
  'session-lost': true,
  'broker-lost': true,
  'broker-restart': true,
  dropped: true,
  'key-space': true,
});
const requested = counter('sweep_requests', 'Sweeps asked for by this process, by trigger.', {
  trigger: OWN_TRIGGERS,
});
const dropped = counter('broker_dropped_messages', 'Messages that the broker says it has dropped, of whomever.');
const restarts = counter('broker_restarts', 'Restarts of the broker that this process was the first to notice.');

/** The broker may drop other clients' messages all the time: that makes one sweep due in so long. */
const DROPPED_EVERY_MS = 60_000;

export interface TriggerParts {
  maintenance: Pick<Maintenance, 'requestSweep' | 'planReconfirmation' | 'keepSchedule'>;
  sweeps: Pick<Sweeps, 'brokerRuns'>;
  sweepEveryMs: number;
  /** 0 for none. */
  reconfirmWindowMs: number;
  logger: Logger;
}

export class SweepTriggers {
  private keySpaceDoubted = false;
  private droppedSweepAt = -Infinity;
  private droppedTimer: NodeJS.Timeout | undefined;
  private readonly stopping = new AbortController();
  private readonly open = new Set<Promise<void>>();

  constructor(private readonly parts: TriggerParts) {}

  start(): void {
    this.insist(() => this.parts.maintenance.keepSchedule(this.parts.sweepEveryMs));
  }

  /**
   * A lane has subscribed. `again`: it had lost the broker. Where it was taken over, what its owner before had noticed may
   * have died with it.
   */
  laneConnected({ sessionPresent, again }: { sessionPresent: boolean; again: boolean }): void {
    const ofLane = again ? 'broker-lost' : 'start';
    const ofBroker = sessionPresent ? ofLane : 'session-lost';
    this.request(this.keySpaceDoubted ? 'key-space' : ofBroker);
    this.keySpaceDoubted = false;
  }

  /** The sweep waits for the lanes, which are taken anew; a process that gets none asks as well. */
  dataDoubted(): void {
    this.keySpaceDoubted = true;
    this.start();
    this.request('key-space');
  }

  brokerRuns(seconds: number): void {
    this.insist(async () => {
      const { sweeps, maintenance, reconfirmWindowMs, logger } = this.parts;
      const since = await sweeps.brokerRuns(seconds);
      if (since === undefined) return;
      restarts.inc();
      logger.warn({ since: new Date(since).toISOString() }, 'the broker was restarted');
      if (reconfirmWindowMs > 0) {
        await maintenance.planReconfirmation(since, Math.max(0, reconfirmWindowMs - seconds * 1000));
      }
      this.request('broker-restart');
    });
  }

  brokerDropped(messages: number): void {
    dropped.inc(messages);
    if (this.droppedTimer !== undefined) return;
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
    await Promise.all(this.open);
  }

  private request(trigger: OwnTrigger): void {
    requested.inc({ trigger });
    this.insist(() => this.parts.maintenance.requestSweep(trigger));
  }

  private insist(act: () => Promise<void>): void {
    const done = this.untilDone(act).finally(() => this.open.delete(done));
    this.open.add(done);
  }

  private async untilDone(act: () => Promise<void>): Promise<void> {
    const { signal } = this.stopping;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await act();
        return;
      } catch (error) {
        this.parts.logger.warn({ err: error }, 'could not plan a sweep; trying again');
        await sleep(backoffMs(attempt, 100, 5000), undefined, { signal }).catch(() => undefined);
      }
    }
  }
}
