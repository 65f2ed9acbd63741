/** The BullMQ worker behind the wake-up queue: each job is a drain run of one shard. */
import { Worker } from 'bullmq';
import { closeWithin, counter, sharedAbort, type Logger, type Redis } from '@app/platform';
import { WAKE_UP_QUEUE, type RegistryKeys, type WakeUp, type WakeUps } from '@app/registry';
import { DrainRun, type DrainParts, type RunEnd } from './drain.js';
import { GIVE_UP_MS, LOCK_MS, LOCK_RENEWAL_MS, STALLED_CHECK_MS } from './outbound-times.js';

const failed = counter('drains_failed', 'Drain runs that ended with an error.');

/** How often a stalled job is run again before it is dropped; then housekeeping wakes the shard again. */
const MAX_STALLED = 100;

export class Dispatcher {
  private worker: Worker<WakeUp, RunEnd> | undefined;
  private readonly pendingWakeUps = new Set<Promise<void>>();
  private readonly stopping = sharedAbort();

  constructor(
    /** Not shared: BullMQ blocks it. */
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly runs: DrainParts,
    private readonly wakeUps: WakeUps,
    private readonly shardCount: number,
    private readonly logger: Logger,
  ) {}

  get running(): boolean {
    return this.worker?.isRunning() ?? false;
  }

  async start(): Promise<void> {
    const { redis, keys, runs, shardCount } = this;
    this.worker = new Worker<WakeUp, RunEnd>(
      WAKE_UP_QUEUE,
      (job) => new DrainRun(runs, job.data.shard, this.stopping.signal).drain(),
      {
        connection: redis,
        prefix: keys.queuePrefix,
        // As many jobs as shards: no shard waits for another one.
        concurrency: shardCount,
        lockDuration: LOCK_MS,
        lockRenewTime: LOCK_RENEWAL_MS,
        stalledInterval: STALLED_CHECK_MS,
        maxStalledCount: MAX_STALLED,
        // Pause after an error of Redis; the default is 15 s.
        runRetryDelay: 1000,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      },
    );
    this.worker.on('error', (error) => this.logger.warn({ err: error }, 'worker error'));
    this.worker.on('completed', ({ data }, end) => {
      // Also if superseded: Redis may have lost its last writes, and then no other run would follow.
      if (end !== 'idle') this.wakeAgain(data.shard);
    });
    this.worker.on('failed', (job, error) => {
      failed.inc();
      this.logger.error({ shard: job?.data.shard, err: error }, 'drain failed; housekeeping repeats it');
    });
    await this.worker.waitUntilReady();
  }

  /** Takes no new jobs, and interrupts runs that wait for the broker: at once if it is away, otherwise after `GIVE_UP_MS`. */
  async stop(): Promise<void> {
    await this.worker?.pause(true);
    const closed = this.worker?.close();
    await closeWithin(
      this.runs.publisher.connected ? GIVE_UP_MS : 0,
      () => closed,
      () => this.stopping.abort(),
    );
    await closed;
    await Promise.all(this.pendingWakeUps);
  }

  /**
   * Queues the shard again, for any dispatcher. Call it only after `completed`: BullMQ gives a finishing worker the next job in
   * the same script, so queuing from inside the job would starve other dispatchers.
   */
  private wakeAgain(shard: number): void {
    const wakeUp = this.wakeUps
      .wake([shard])
      .catch((error: unknown) => this.logger.warn({ err: error, shard }, 'wake-up failed; housekeeping repeats it'))
      .finally(() => this.pendingWakeUps.delete(wakeUp));
    this.pendingWakeUps.add(wakeUp);
  }
}
