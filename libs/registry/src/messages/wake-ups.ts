/**
 * The wake-up queue. A job says only that a shard has work and no owner. Jobs of one shard are deduplicated: at most one runs
 * and one waits, and a wake-up while one runs starts another job after it.
 */
import { Queue, type JobsOptions } from 'bullmq';
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export const WAKE_UP_QUEUE = 'wake-ups';

export interface WakeUp {
  shard: number;
}

export class WakeUps {
  private readonly queue: Queue<WakeUp, unknown, 'drain'>;

  constructor(redis: Redis, keys: RegistryKeys) {
    this.queue = new Queue(WAKE_UP_QUEUE, {
      connection: redis,
      prefix: keys.queuePrefix,
      streams: { events: { maxLen: 1000 } },
      skipMetasUpdate: true,
    });
    // BullMQ emits errors of the connection here, which the connection has logged. Errors of a command reject its call.
    this.queue.on('error', () => undefined);
  }

  /** Lets dispatchers activate the outbound sides of these shards. Safe to repeat. */
  async wake(shards: readonly number[]): Promise<void> {
    const [only] = shards;
    if (only === undefined) return;
    if (shards.length === 1) await this.queue.add('drain', { shard: only }, wakeOptions(only));
    else {
      await this.queue.addBulk(
        shards.map((shard) => ({ name: 'drain' as const, data: { shard }, opts: wakeOptions(shard) })),
      );
    }
  }

  async close(): Promise<void> {
    await this.queue.close();
  }
}

function wakeOptions(shard: number): JobsOptions {
  return {
    deduplication: { id: `shard-${shard}`, keepLastIfActive: true },
    removeOnComplete: true,
    removeOnFail: true,
  };
}
