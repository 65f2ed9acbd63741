/**
 * The maintenance queue: what is done for the whole key space, one of a kind at a time in the cluster. A job whose worker
 * dies is run again by another; each is safe to repeat.
 */
import { Queue, type JobsOptions } from 'bullmq';
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export const MAINTENANCE_QUEUE = 'maintenance';

/** Why a sweep was begun. */
export type SweepTrigger =
  /** A lane was taken on. */
  | 'start'
  /** The broker had lost a lane's session, and what was queued in it. */
  | 'session-lost'
  /** A lane had lost the broker for a while. */
  | 'broker-lost'
  | 'broker-restart'
  /** The broker dropped messages. */
  | 'dropped'
  /** Redis may have lost what it held. */
  | 'key-space'
  /** The last one could not read everything. */
  | 'truncated'
  | 'interval'
  | 'request';

export type MaintenanceJob =
  | { do: 'sweep'; trigger: SweepTrigger }
  /** `SWEEP_INTERVAL` has passed. */
  | { do: 'tick' }
  /**
   * The broker was started at `since`, Redis' clock: clients that have not shaken hands since then are offline. `sweep`: the id
   * of the sweep that comes before.
   */
  | { do: 'reconfirm'; since: number; sweep?: string };

/** Triggers come in bursts; the sweep that follows the first covers them. */
const DEBOUNCE_MS = 300;
const KEEP: JobsOptions = {
  removeOnComplete: true,
  removeOnFail: true,
  // It fails while the broker is away.
  attempts: 1_000_000,
  backoff: { type: 'custom' },
  // By default BullMQ keeps the stack trace of each attempt, and writes all of them again with the next.
  stackTraceLimit: 1,
};

/** How long a job of the maintenance queue waits after so many tries, in milliseconds. */
export function maintenanceBackoffMs(attemptsMade: number): number {
  return Math.min(60_000, 2000 * 2 ** Math.min(attemptsMade - 1, 10));
}

export class Maintenance {
  private readonly queue: Queue<MaintenanceJob>;

  constructor(redis: Redis, keys: RegistryKeys) {
    this.queue = new Queue(MAINTENANCE_QUEUE, {
      connection: redis,
      prefix: keys.queuePrefix,
      streams: { events: { maxLen: 100 } },
      skipMetasUpdate: true,
    });
    // Errors of the connection, which logs them itself; those of a command reject its call.
    this.queue.on('error', () => undefined);
  }

  /** Has the key space compared with the broker; one that runs already is followed by another. */
  async requestSweep(trigger: SweepTrigger, inMs = DEBOUNCE_MS): Promise<void> {
    const deduplication = { id: 'sweep', keepLastIfActive: true };
    await this.queue.add('sweep', { do: 'sweep', trigger }, { ...KEEP, delay: inMs, deduplication });
  }

  async planReconfirmation(since: number, inMs: number): Promise<void> {
    await this.queue.add(
      'reconfirm',
      { do: 'reconfirm', since },
      { ...KEEP, delay: inMs, jobId: `reconfirm-${since}` },
    );
  }

  /**
   * Schedules repeated sweeps, the first after one interval. Call it again if Redis may have lost the schedule.
   * A plan that stands is left as it is.
   */
  async keepSchedule(everyMs: number): Promise<void> {
    const opts = { removeOnComplete: true, removeOnFail: true };
    const plan = { every: everyMs, startDate: Date.now() + everyMs };
    await this.queue.upsertJobScheduler('sweep', plan, { name: 'tick', data: { do: 'tick' }, opts });
  }

  async close(): Promise<void> {
    await this.queue.close();
  }
}
