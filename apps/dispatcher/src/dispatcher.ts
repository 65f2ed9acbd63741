/** The BullMQ worker behind the wake-up queue: each job is a drain run of one shard. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { Worker } from 'bullmq';
import {
  LOGGER,
  assertRedisFit,
  closeRedis,
  counter,
  type Logger,
  type Redis,
  sharedAbort,
  within,
} from '@app/platform';
import { WAKE_UP_QUEUE, openKeySpace, type RegistryKeys, type WakeUp, type WakeUps } from '@app/registry';
import { DrainRun, type DrainParts, type RunEnd } from './drain.js';

const failed = counter('drains_failed', 'Drain runs that ended with an error.');

export const DISPATCHER_PARTS = Symbol('DISPATCHER_PARTS');

export interface DispatcherParts {
  redis: Redis;
  workerRedis: Redis;
  keys: RegistryKeys;
  draining: DrainParts;
  wakeUps: WakeUps;
  shardCount: number;
}

/** A dispatcher that dies holds the shards it drained back for this long; a living one renews at half of it. */
const LOCK_MS = 5000;
/** A job that stalls is run again this often before it is dropped; housekeeping would wake the shard anew. */
const MAX_STALLED = 100;

/** How long a worker may take to close: its drains, and then its connections. */
const CLOSE_MS = 6000;

@Injectable()
export class Dispatcher implements OnModuleDestroy, OnApplicationShutdown {
  private worker: Worker<WakeUp, RunEnd> | undefined;
  private readonly waking = new Set<Promise<void>>();
  private readonly stopping = sharedAbort();
  /** Aborted at the beginning of a stop: `stopping` ends publishes, and later. */
  private readonly opening = sharedAbort();

  constructor(
    @Inject(DISPATCHER_PARTS) private readonly parts: DispatcherParts,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  get running(): boolean {
    return this.worker?.isRunning() ?? false;
  }

  /** @throws UnfitRedisError, KeySpaceError */
  async start(): Promise<void> {
    const { redis, workerRedis, keys, draining, shardCount } = this.parts;
    await assertRedisFit(redis);
    try {
      await openKeySpace(redis, keys, shardCount, this.logger, this.opening.signal);
    } catch (error) {
      if (this.opening.signal.aborted) return;
      throw error;
    }
    this.worker = new Worker<WakeUp, RunEnd>(
      WAKE_UP_QUEUE,
      (job) => new DrainRun(draining, job.data.shard, this.stopping.signal).drain(),
      {
        connection: workerRedis,
        prefix: keys.queuePrefix,
        // No shard waits for another one to have nothing to do.
        concurrency: shardCount,
        lockDuration: LOCK_MS,
        // A stalled job is found in the second check after its lock ran out.
        stalledInterval: 1000,
        maxStalledCount: MAX_STALLED,
        // After an error of Redis; the default of 15 s is long to be back.
        runRetryDelay: 1000,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
      },
    );
    this.worker.on('error', (error) => this.logger.warn({ err: error }, 'worker error'));
    this.worker.on('completed', ({ data }, end) => {
      // Superseded: by another one, or because Redis has lost what it did last, and then nobody else would come.
      if (end !== 'idle') this.wakeAgain(data.shard);
    });
    this.worker.on('failed', (job, error) => {
      failed.inc();
      this.logger.error({ shard: job?.data.shard, err: error }, 'drain failed; housekeeping repeats it');
    });
    await this.worker.waitUntilReady();
  }

  /** Takes no new jobs; drains that wait for a dead broker are given up. */
  async onModuleDestroy(): Promise<void> {
    this.opening.abort();
    await this.worker?.pause(true);
    const giveUp = setTimeout(() => this.stopping.abort(), this.parts.draining.publisher.connected ? 3000 : 0);
    await this.closeWorker();
    clearTimeout(giveUp);
  }

  async onApplicationShutdown(): Promise<void> {
    const { draining, redis, workerRedis, wakeUps } = this.parts;
    await draining.publisher.close();
    await wakeUps.close();
    await Promise.all([redis, workerRedis].map(closeRedis));
  }

  /**
   * Any dispatcher goes on where a run has stopped. Only now that its job is done: a worker that finishes a job is given
   * the next one in the same breath, and would keep its shards from the others, which have waited longer.
   */
  private wakeAgain(shard: number): void {
    const { wakeUps } = this.parts;
    const waking = wakeUps
      .wake([shard])
      .catch((error: unknown) => this.logger.warn({ err: error, shard }, 'wake-up failed; housekeeping repeats it'))
      .finally(() => this.waking.delete(waking));
    this.waking.add(waking);
  }

  private async closeWorker(): Promise<void> {
    const closing = Promise.resolve(this.worker?.close()).then(() => Promise.all(this.waking));
    if (!(await within(CLOSE_MS, closing)))
      this.logger.warn({ wait_ms: CLOSE_MS }, 'the worker did not close; it is left behind');
  }
}
