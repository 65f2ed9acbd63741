/**
 * The maintenance queue: jobs for the whole key space, one of a kind at a time in the cluster. If a worker dies, another
 * one runs its job again; each job is safe to repeat.
 */
import { Queue, type JobsOptions } from 'bullmq';
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export const MAINTENANCE_QUEUE = 'maintenance';

/** Why a sweep was started. */
export const SWEEP_TRIGGERS = [
  /** An ingester acquired a lane. */
  'start',
  /** The broker lost a lane's session and the messages queued in it. */
  'session-lost',
  /** A lane lost its connection to the broker for a while. */
  'broker-lost',
  'broker-restart',
  /** The broker dropped messages. */
  'dropped',
  /** Redis may have lost data. */
  'key-space',
  /** The previous sweep could not read all retained messages. */
  'truncated',
  'interval',
  'request',
] as const;
export type SweepTrigger = (typeof SWEEP_TRIGGERS)[number];

export type MaintenanceJob =
  | { do: 'sweep'; trigger: SweepTrigger }
  /** It is time for a sweep. `trigger`: why; undefined: `SWEEP_INTERVAL` has passed. */
  | { do: 'tick'; trigger?: SweepTrigger }
  /**
   * The broker was started at `since` by Redis' clock: clients without a handshake since then are offline. `sweep`: the id
   * of the sweep that runs before.
   */
  | { do: 'reconfirm'; since: number; sweep?: string };

/** Triggers come in bursts; one sweep that starts after this time covers all of them. */
const DEBOUNCE_MS = 300;
const KEEP: JobsOptions = {
  removeOnComplete: true,
  removeOnFail: true,
  // Jobs fail while the broker is away.
  attempts: 1_000_000,
  backoff: { type: 'custom' },
  // By default BullMQ keeps the stack traces of all attempts and writes all of them again after each attempt.
  stackTraceLimit: 1,
};

/** The back-off of a maintenance job after this many attempts, in milliseconds. */
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
    // BullMQ emits errors of the connection here, which the connection has logged. Errors of a command reject its call.
    this.queue.on('error', () => undefined);
  }

  /** Requests a sweep. If one is running, another one follows it. */
  async requestSweep(trigger: SweepTrigger, inMs = DEBOUNCE_MS): Promise<void> {
    const deduplication = { id: 'sweep', keepLastIfActive: true };
    await this.queue.add('sweep', { do: 'sweep', trigger }, { ...KEEP, delay: inMs, deduplication });
  }

  /**
   * Requests a sweep at a later time, once, however often it is called until then. It is a job of its own: a sweep that is
   * requested before that time would otherwise count as this one, and wait for it.
   */
  async requestSweepLater(trigger: SweepTrigger, inMs: number): Promise<void> {
    const deduplication = { id: 'sweep-later' };
    await this.queue.add('tick', { do: 'tick', trigger }, { ...KEEP, delay: inMs, deduplication });
  }

  async planReconfirmation(since: number, inMs: number): Promise<void> {
    await this.queue.add(
      'reconfirm',
      { do: 'reconfirm', since },
      { ...KEEP, delay: inMs, jobId: `reconfirm-${since}` },
    );
  }

  /**
   * Schedules repeated sweeps, the first after one interval. Does not change an existing schedule. Call it again if Redis
   * may have lost the schedule.
   */
  async keepSchedule(everyMs: number): Promise<void> {
    const opts = { removeOnComplete: true, removeOnFail: true };
    const schedule = { every: everyMs, startDate: Date.now() + everyMs };
    await this.queue.upsertJobScheduler('sweep', schedule, { name: 'tick', data: { do: 'tick' }, opts });
  }

  async close(): Promise<void> {
    await this.queue.close();
  }
}
