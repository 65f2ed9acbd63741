/**
 * The wake-up queue: a job only says "look at this connection". Jobs of one connection are deduplicated, so at
 * most one drains and one waits (order), and a wake-up that comes during a drain is kept for after it.
 */
import { Queue, type JobsOptions } from 'bullmq';
import type { Redis } from '@app/platform';
import type { RegistryKeys } from './registry-keys.js';

export const WAKE_UP_QUEUE = 'wake-ups';

export interface WakeUp {
  client_id: string;
}

export class WakeUps {
  private readonly queue: Queue<WakeUp, void, 'drain'>;

  constructor(redis: Redis, keys: RegistryKeys) {
    this.queue = new Queue(WAKE_UP_QUEUE, {
      connection: redis,
      prefix: keys.queuePrefix,
      streams: { events: { maxLen: 1000 } },
      skipMetasUpdate: true,
    });
    // Errors of the connection, which logs them itself; those of a command reject its call.
    this.queue.on('error', () => undefined);
  }

  /** Wakes a dispatcher for each of the connections. Safe to repeat. */
  async wake(clientIds: readonly string[]): Promise<void> {
    const [only] = clientIds;
    if (only === undefined) return;
    if (clientIds.length === 1) await this.queue.add('drain', { client_id: only }, wakeOptions(only));
    else {
      await this.queue.addBulk(
        clientIds.map((id) => ({ name: 'drain' as const, data: { client_id: id }, opts: wakeOptions(id) })),
      );
    }
  }

  async close(): Promise<void> {
    await this.queue.close();
  }
}

function wakeOptions(clientId: string): JobsOptions {
  return {
    deduplication: { id: clientId, keepLastIfActive: true },
    removeOnComplete: true,
    removeOnFail: true,
  };
}
