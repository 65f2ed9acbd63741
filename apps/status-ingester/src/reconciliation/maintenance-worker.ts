/**
 * Runs what stands in the maintenance queue: sweeps, and the reconfirmation that follows a restart of the broker. Each
 * ingester has a worker; a job whose worker dies is run again by another.
 */
import { DelayedError, Worker, type Job } from 'bullmq';
import { linkedAbort, sharedAbort, type Redis } from '@app/platform';
import {
  MAINTENANCE_QUEUE,
  encodeCommand,
  maintenanceBackoffMs,
  type Maintenance,
  type MaintenanceJob,
} from '@app/registry';
import { Sweep, type SweepDependencies } from './sweep.js';

/** A sweep whose worker died is run again after this at the latest, and a second or two. */
export const JOB_LOCK_MS = 10_000;
export const JOB_STALLED_CHECK_MS = 2000;
/** Safe to repeat, so there is no number of deaths after which it is given up. */
const MAX_STALLED = 1_000_000;
/** A sweep that could not read everything is followed by another after this. */
const TRUNCATED_AGAIN_MS = 60_000;
const PAGE = 500;
/** How long a sweep waits for the lanes held here. It fails then, and another ingester may run it. */
const LANES_MS = 60_000;
/** How often a reconfirmation looks whether its sweep has ended. */
const SWEPT_CHECK_MS = 1000;

export interface MaintenanceDependencies extends SweepDependencies {
  maintenance: Maintenance;
  /** Connection of the worker's own: it blocks. */
  workerRedis: Redis;
  /** Waits until the lanes held here, if any, are connected; rejects after so long, or if it is aborted. */
  lanesConnected: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

export class MaintenanceWorker {
  private worker: Worker<MaintenanceJob, void> | undefined;
  private readonly stopping = sharedAbort();
  private closed: Promise<void> | undefined;

  constructor(private readonly dependencies: MaintenanceDependencies) {}

  start(): void {
    const { workerRedis, keys, logger } = this.dependencies;
    this.worker = new Worker<MaintenanceJob, void>(MAINTENANCE_QUEUE, (job, _token, lost) => this.run(job, lost), {
      connection: workerRedis,
      prefix: keys.queuePrefix,
      lockDuration: JOB_LOCK_MS,
      stalledInterval: JOB_STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
      settings: { backoffStrategy: maintenanceBackoffMs },
    });
    this.worker.on('error', (error) => logger.warn({ err: error }, 'maintenance worker error'));
    this.worker.on('failed', (job, error) => {
      logger.warn({ job: job?.name, err: error }, 'maintenance failed; it is run again');
    });
  }

  /** Takes no more jobs, and aborts the one in hand. Does not wait for its end; `stop` does. */
  beginStop(): void {
    if (this.closed !== undefined) return;
    this.stopping.abort(new Error('the process stops'));
    this.closed = Promise.resolve(this.worker?.close());
    // A failure is for `stop` to report.
    this.closed.catch(() => undefined);
  }

  /** Resolves when the job in hand has ended. */
  async stop(): Promise<void> {
    this.beginStop();
    await this.closed;
  }

  private async run(job: Job<MaintenanceJob>, lost: AbortSignal | undefined): Promise<void> {
    const { signal, unlink } = linkedAbort(this.stopping.signal, ...(lost ? [lost] : []));
    try {
      await this.perform(job, signal);
    } finally {
      unlink();
    }
  }

  private async perform(job: Job<MaintenanceJob>, signal: AbortSignal): Promise<void> {
    const { maintenance, sweeps } = this.dependencies;
    const { data } = job;
    switch (data.do) {
      case 'tick':
        return maintenance.requestSweep('interval');
      case 'sweep': {
        // What a sweep finds is compared behind what the lane brings: without it the sweep would only wait there.
        await this.dependencies.lanesConnected(LANES_MS, signal);
        const id = await sweeps.beginId();
        const { complete, awaited } = await new Sweep(this.dependencies, id, data.trigger, signal).run();
        if (awaited) await maintenance.requestSweep('request', 0);
        else if (!complete) await maintenance.requestSweep('truncated', TRUNCATED_AGAIN_MS);
        return;
      }
      case 'reconfirm':
        await this.untilSwept(job, data);
        return this.reconfirm(data.since, signal);
    }
  }

  /** A handshake that came before the lanes were back is known when a sweep has found it. @throws DelayedError until then */
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

  /** Has every client judged that is online and has not shaken hands since then. */
  private async reconfirm(since: number, signal: AbortSignal): Promise<void> {
    const { directory, mailboxes, shardCount, logger } = this.dependencies;
    let asked = 0;
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
        // If a mailbox is full the job fails and runs again; clients that were judged by then are not asked again.
        if ((await mailboxes.sendAll(shard, items)) < items.length)
          throw new Error(`the mailbox of shard ${shard} is full`);
        asked += items.length;
      }
    }
    logger.info({ since: new Date(since).toISOString(), clients: asked }, 'clients unconfirmed since the restart');
  }
}
