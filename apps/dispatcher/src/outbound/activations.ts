/** The BullMQ worker behind the wake-up queue: each job activates the outbound side of one shard, and ends. */
import { DelayedError, Worker, type Job } from 'bullmq';
import { counter, type Logger, type Redis } from '@app/platform';
import { WAKE_UP_QUEUE, WORKER_RETRY, closeWorker, type RegistryKeys, type WakeUp } from '@app/registry';
import type { OutboundShards } from './outbound-shards.js';

const failed = counter('activations_failed', 'Wake-ups of shards that ended with an error.');

/** A dispatcher that has its share of the shards leaves a wake-up to others for this long, and at most so many times. */
const LEAVE = { ms: 50, times: 20 } as const;

export class Activations {
  private worker: Worker<WakeUp> | undefined;

  constructor(
    /** Not shared: BullMQ blocks it. */
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shards: Pick<OutboundShards, 'activate'>,
    private readonly shardCount: number,
    private readonly logger: Logger,
  ) {}

  get running(): boolean {
    return this.worker?.isRunning() ?? false;
  }

  async start(): Promise<void> {
    this.worker = new Worker<WakeUp>(WAKE_UP_QUEUE, (job, token) => this.activate(job, token), {
      connection: this.redis,
      prefix: this.keys.queuePrefix,
      // As many jobs as shards: no shard waits for another one.
      concurrency: this.shardCount,
      ...WORKER_RETRY,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    this.worker.on('error', (error) => this.logger.warn({ err: error }, 'worker error'));
    this.worker.on('failed', (job, error) => {
      failed.inc();
      this.logger.error(
        { shard: job?.data.shard, err: error },
        'activation failed; a dispatcher repeats it in a second',
      );
    });
    await this.worker.waitUntilReady();
  }

  async stop(): Promise<void> {
    if (this.worker) await closeWorker(this.worker);
  }

  private async activate(job: Job<WakeUp>, token: string | undefined): Promise<void> {
    // Without a connection to the broker the job ends: the dispatchers look for work when they are connected again.
    if ((await this.shards.activate(job.data.shard)) !== 'full' || job.attemptsStarted > LEAVE.times) return;
    await job.moveToDelayed(Date.now() + LEAVE.ms, token);
    throw new DelayedError();
  }
}
