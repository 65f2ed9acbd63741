/**
 * Finds out how many messages the broker keeps for a session that is not connected, in the background: it publishes some
 * thousand messages to a session of its own. The owner of shard 0 does it, once a day and for each run of the broker; the
 * others read the result. Each ingester exposes a limit and warns of it, at its start if it is known then. Nothing waits for it.
 */
import { pause, sharedAbort, type Logger } from '@app/platform';
import type { BrokerRecords, QueueRecord } from '@app/registry';
import type { Ownership } from '@app/sharding';
import { exposeQueueLimit } from './broker-gauges.js';

export interface QueueTiming {
  /** Nothing is measured before: lanes and sweeps come first after a start, and ingesters report the run of the broker. */
  firstMs: number;
  /** How often an ingester looks whether the queue has to be measured. */
  everyMs: number;
}

const TIMING: QueueTiming = { firstMs: 60_000, everyMs: 3_600_000 };
const DAY_MS = 86_400_000;

export interface QueueLimitDependencies {
  /** Its commands fail while Redis is away. */
  records: Pick<BrokerRecords, 'brokerRun' | 'readQueue' | 'saveQueue'>;
  ownership: Pick<Ownership, 'grants'>;
  /** @returns the limit; null if none was found @throws if it could not be measured */
  measure: (signal: AbortSignal) => Promise<number | null>;
  logger: Logger;
}

export class QueueLimit {
  /** The limit of the last warning. */
  private warned: number | null = null;
  private running: Promise<void> | undefined;
  private readonly stopping = sharedAbort();

  constructor(
    private readonly dependencies: QueueLimitDependencies,
    private readonly timing = TIMING,
  ) {}

  start(): void {
    this.running = this.run();
  }

  /** Resolves when the session of a measurement has been ended. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { firstMs, everyMs } = this.timing;
    const { logger } = this.dependencies;
    const { signal } = this.stopping;
    for (let isFirst = true; ; isFirst = false) {
      try {
        await this.refresh(isFirst, signal);
      } catch (error) {
        if (!signal.aborted)
          logger.info(
            { err: error },
            'could not find out how many messages the broker keeps for an absent session; trying again later',
          );
      }
      if (!(await pause(isFirst ? firstMs : everyMs, signal))) return;
    }
  }

  /** `isFirst`: only what is known is shown. */
  private async refresh(isFirst: boolean, signal: AbortSignal): Promise<void> {
    const { records, ownership } = this.dependencies;
    let queue = await records.readQueue();
    if (!isFirst && ownership.grants().some(({ kind, index }) => kind === 'shard' && index === 0)) {
      const brokerRun = await records.brokerRun();
      if (isDue(queue, brokerRun, Date.now())) queue = await this.measure(brokerRun, signal);
    }
    exposeQueueLimit(queue?.limit ?? null);
    this.warn(queue);
  }

  private async measure(brokerRun: string | null, signal: AbortSignal): Promise<QueueRecord> {
    const { records, measure, logger } = this.dependencies;
    const limit = await measure(signal);
    const measured = { limit, measuredAt: new Date().toISOString(), brokerRun };
    logger.info({ queue_limit: limit }, 'measured how many messages the broker keeps for an absent session');
    await records.saveQueue(measured);
    return measured;
  }

  private warn(queue: QueueRecord | undefined): void {
    const limit = queue?.limit ?? null;
    if (limit !== null && limit !== this.warned)
      this.dependencies.logger.warn(
        { queue_limit: limit, measured_at: queue?.measuredAt },
        `the broker keeps ${limit} messages for a lane that is away, and loses what clients publish beyond that, although it ` +
          'acknowledges it: a sweep corrects the connections, but a message-error or an answer of a client is lost; raise ' +
          'the limit, in Mosquitto with max_queued_messages 0',
      );
    this.warned = limit;
  }
}

/** `brokerRun`: id of the present run of the broker; null if it is not known. */
export function isDue(last: QueueRecord | undefined, brokerRun: string | null, now: number): boolean {
  if (last === undefined) return true;
  if (brokerRun !== null && last.brokerRun !== null && last.brokerRun !== brokerRun) return true;
  // A time in the future comes from a clock that was wrong. One that cannot be read is NaN, and no comparison with it holds.
  return !(Math.abs(now - Date.parse(last.measuredAt)) < DAY_MS);
}
