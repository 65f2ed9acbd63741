/**
 * Runs the jobs of the maintenance queue: sweeps, and the reconfirmation that follows a restart of the broker. Each ingester
 * has a worker; if a worker dies, another one runs its job again.
 */
import { DelayedError, Worker, type Job } from 'bullmq';
import { linkedAbort, sharedAbort, type Redis } from '@app/platform';
import {
  MAINTENANCE_QUEUE,
  WORKER_RETRY,
  closeWorker,
  encodeCommand,
  maintenanceBackoffMs,
  type Maintenance,
  type MaintenanceJob,
} from '@app/registry';
import { Sweep, type SweepDependencies } from './sweep.js';

/** Lock of a job: if its worker dies, the job is run again this long, and one or two checks, later. */
export const JOB_LOCK_MS = 10_000;
export const JOB_STALLED_CHECK_MS = 2000;
/** Practically unlimited: jobs are safe to repeat, however often a worker died. */
const MAX_STALLED = 1_000_000;
/** Time after which an incomplete sweep is followed by another one. */
const INCOMPLETE_AGAIN_MS = 60_000;
const PAGE = 500;
/** Longest wait of a sweep for the lanes of this process. Then the job fails, and another ingester may run it. */
const LANES_MS = 60_000;
/** How often a reconfirmation checks whether its sweep has ended. */
const SWEPT_CHECK_MS = 1000;

export interface MaintenanceDependencies extends SweepDependencies {
  maintenance: Maintenance;
  /** A connection that nothing else uses: the worker blocks it. */
  workerRedis: Redis;
  /** Resolves when all lanes of this process are connected; rejects after `waitMs`, or when aborted. */
  lanesConnected: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

export class MaintenanceWorker {
  private worker: Worker<MaintenanceJob, void> | undefined;
  private readonly stopping = sharedAbort();
  private closed: Promise<void> | undefined;
  private current: Promise<void> | undefined;

  constructor(private readonly dependencies: MaintenanceDependencies) {}

  start(): void {
    const { workerRedis, keys, logger } = this.dependencies;
    this.worker = new Worker<MaintenanceJob, void>(MAINTENANCE_QUEUE, (job, _token, lost) => this.run(job, lost), {
      connection: workerRedis,
      prefix: keys.queuePrefix,
      lockDuration: JOB_LOCK_MS,
      stalledInterval: JOB_STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
      ...WORKER_RETRY,
      settings: { backoffStrategy: maintenanceBackoffMs },
    });
    this.worker.on('error', (error) => logger.warn({ err: error }, 'maintenance worker error'));
    this.worker.on('failed', (job, error) => {
      logger.warn({ job: job?.name, err: error }, 'a maintenance job failed; it is run again');
    });
  }

  /** Takes no more jobs and aborts the current one. `stop` waits for its end. */
  beginStop(): void {
    if (this.closed !== undefined) return;
    this.stopping.abort(new Error('the process stops'));
    this.closed = this.worker && closeWorker(this.worker);
    // `stop` reports a failure.
    this.closed?.catch(() => undefined);
  }

  /** Resolves when the current job has ended. */
  async stop(): Promise<void> {
    this.beginStop();
    await this.closed;
    // A worker without a connection does not wait for its job.
    await this.current?.catch(() => undefined);
  }

  private async run(job: Job<MaintenanceJob>, lost: AbortSignal | undefined): Promise<void> {
    const { signal, unlink } = linkedAbort(this.stopping.signal, ...(lost ? [lost] : []));
    try {
      this.current = this.perform(job, signal);
      await this.current;
    } finally {
      unlink();
    }
  }

  private async perform(job: Job<MaintenanceJob>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { maintenance, sweeps } = this.dependencies;
    const { data } = job;
    switch (data.do) {
      case 'tick':
        return maintenance.requestSweep(data.trigger ?? 'interval');
      case 'sweep': {
        // The comparison waits for the lane barrier, which would not be passed while the lane is not connected.
        await this.dependencies.lanesConnected(LANES_MS, signal);
        const id = await sweeps.beginId();
        const { complete, awaited } = await new Sweep(this.dependencies, id, data.trigger, signal).run();
        if (awaited) await maintenance.requestSweep('request', 0);
        else if (!complete) await maintenance.requestSweepLater('truncated', INCOMPLETE_AGAIN_MS);
        return;
      }
      case 'reconfirm':
        await this.untilSwept(job, data);
        return this.reconfirm(data.since, signal);
    }
  }

  /** Delays the job until a sweep has found the handshakes that came before the lanes were back. @throws DelayedError */
  private async untilSwept(job: Job<MaintenanceJob>, data: MaintenanceJob & { do: 'reconfirm' }): Promise<void> {
    const { maintenance, sweeps } = this.dependencies;
    const sweep = data.sweep ?? (await sweeps.nextId());
    if (data.sweep === undefined) {
      await maintenance.requestSweep('broker-restart', 0);
      await job.updateData({ ...data, sweep });
    }
    const found = await sweeps.find(sweep);
    if (found === undefined || (found !== 'waiting' && found.state === 'ended')) return;
    await job.moveToDelayed(Date.now() + SWEPT_CHECK_MS, job.token);
    throw new DelayedError();
  }

  /** Sends a command for each online client that has not shaken hands since `since`. */
  private async reconfirm(since: number, signal: AbortSignal): Promise<void> {
    const { directory, mailboxes, shardCount, logger } = this.dependencies;
    let count = 0;
    for (let shard = 0; shard < shardCount; shard++) {
      for await (const ids of directory.online(shard, PAGE)) {
        signal.throwIfAborted();
        const isSilent = await directory.map(
          shard,
          ids,
          (one) => one !== undefined && one.last_live_handshake_at < since,
        );
        const silent = ids.filter((_, i) => isSilent[i]);
        const items = silent.map((clientId) => encodeCommand({ clientId, command: { do: 'reconfirm', since } }));
        // If a mailbox is full, the job fails and runs again: clients that are offline by then are skipped.
        if ((await mailboxes.sendAll(shard, items)) < items.length)
          throw new Error(`the mailbox of shard ${shard} is full: the reconfirmation is run again`);
        count += items.length;
      }
    }
    logger.info({ since: new Date(since).toISOString(), clients: count }, 'clients unconfirmed since the restart');
  }
}
