/** Starts and stops what the gateway holds open. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { Draining, LOGGER, assertRedisFit, closeRedis, sharedAbort, type Logger, type Redis } from '@app/platform';
import { openKeySpace, type CommandReplies, type Maintenance, type RegistryKeys, type WakeUps } from '@app/registry';
import { Doors } from './access/doors.js';
import type { EventFeed } from './events/event-feed.js';
import { Problem } from './http/problem.js';
import type { StorageBudget } from './messages/storage-budget.js';

export const GATEWAY_PARTS = Symbol('GATEWAY_PARTS');

export interface GatewayParts {
  /** Fails fast: requests must be answered. */
  redis: Redis;
  /** As `redis`, for accepting messages: its commands have no time limit of their own. */
  accepting: Redis;
  /** Waits for Redis: subscriptions, and the start. */
  subscriber: Redis;
  starter: Redis;
  keys: RegistryKeys;
  replies: CommandReplies;
  feed: EventFeed;
  storage: StorageBudget;
  wakeUps: WakeUps;
  maintenance: Maintenance;
  shardCount: number;
}

@Injectable()
export class Gateway implements OnModuleDestroy, OnApplicationShutdown {
  private ready = false;
  private readonly stopping = sharedAbort();

  constructor(
    @Inject(GATEWAY_PARTS) private readonly parts: GatewayParts,
    private readonly doors: Doors,
    private readonly draining: Draining,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Whether Redis and the key space have been found fit; stays so while Redis is away. */
  get wasReady(): boolean {
    return this.ready;
  }

  /** Why the API cannot be used now: before the key space has been found fit, answers could be wrong. */
  get closed(): Problem | undefined {
    if (this.draining.started) {
      return new Problem('unavailable', 'this gateway is stopping; ask another one', {
        retryAfterSeconds: 1,
        close: true,
      });
    }
    if (this.ready) return undefined;
    return new Problem('unavailable', 'this gateway is starting, and has not read the key space yet', {
      retryAfterSeconds: 1,
    });
  }

  /** @throws UnfitRedisError, KeySpaceError */
  async start(): Promise<void> {
    const { starter, keys, shardCount, replies } = this.parts;
    await assertRedisFit(starter);
    const { signal } = this.stopping;
    try {
      await openKeySpace(starter, keys, shardCount, this.logger, signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    await Promise.all([replies.start(), this.parts.storage.start()]);
    await closeRedis(starter);
    this.ready = true;
  }

  /** Open event streams would hold the server open. */
  async onModuleDestroy(): Promise<void> {
    this.stopping.abort();
    await this.parts.feed.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.doors.close();
    await Promise.all([this.parts.storage.stop(), this.parts.wakeUps.close(), this.parts.maintenance.close()]);
    const { redis, accepting, subscriber, starter } = this.parts;
    for (const one of [redis, accepting, subscriber, starter]) one.disconnect();
  }
}
