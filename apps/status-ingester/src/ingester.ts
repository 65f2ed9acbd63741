/**
 * Acts for what this process owns: a granted shard is read by the owner loop, a granted lane is opened. Starts with
 * the shards and stops in the order of S6: stop reading, store and acknowledge what was read, apply it, give back.
 */
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Publisher } from '@app/broker';
import { assertRedisFit, type Redis } from '@app/platform';
import { claimKeySpace, claimLanes, type RegistryKeys, type WakeUps } from '@app/registry';
import type { Grant, Mailboxes, OwnerLoop, Ownership, OwnershipListener } from '@app/sharding';
import type { LaneStrategy } from './intake/lane.strategy.js';
import type { Effects } from './shard/effects.js';
import type { Housekeeping } from './shard/housekeeping.js';

export const INGESTER_PARTS = Symbol('INGESTER_PARTS');

/** Everything the ingester is made of, wired in `ingester.module.ts`. */
export interface IngesterParts {
  redis: Redis;
  loopRedis: Redis;
  publisher: Publisher;
  ownership: Ownership;
  mailboxes: Mailboxes;
  lanes: LaneStrategy;
  loop: OwnerLoop;
  effects: Effects;
  housekeeping: Housekeeping;
  wakeUps: WakeUps;
  keys: RegistryKeys;
  shardCount: number;
  laneCount: number;
  /** `SHARE_GROUP`, where it is set. */
  shareGroup: string | undefined;
}

@Injectable()
export class Ingester implements OwnershipListener, OnApplicationShutdown {
  constructor(@Inject(INGESTER_PARTS) private readonly parts: IngesterParts) {}

  /** @throws UnfitRedisError, KeySpaceError */
  async start(): Promise<void> {
    const { redis, lanes, shareGroup } = this.parts;
    await assertRedisFit(redis);
    const noted = await this.claim(shareGroup);
    lanes.group = shareGroup ?? noted;
    await this.parts.ownership.start(this);
    this.parts.housekeeping.start();
  }

  async granted(grant: Grant): Promise<void> {
    const { lanes, loop, mailboxes, ownership, shardCount } = this.parts;
    if (grant.kind === 'shard') return loop.add(grant);
    // The key space may be new: Redis can lose what it held. The group stays, for it names the lanes' sessions.
    await this.claim(lanes.group);
    await mailboxes.announce(grant, shardCount);
    lanes.open(grant, ownership);
  }

  private async claim(shareGroup: string | undefined): Promise<string> {
    const { redis, keys, shardCount, laneCount } = this.parts;
    await claimKeySpace(redis, keys, shardCount);
    return claimLanes(redis, keys, laneCount, shareGroup);
  }

  async revoked(grant: Grant): Promise<void> {
    const { lanes, loop } = this.parts;
    if (grant.kind === 'shard') loop.remove(grant);
    else await lanes.drop(grant);
  }

  /** By now the lanes are closed: transports close before this hook. */
  async onApplicationShutdown(): Promise<void> {
    const { housekeeping, loop, effects, ownership, publisher, wakeUps, redis, loopRedis } = this.parts;
    await housekeeping.stop();
    await loop.stop();
    await effects.stop();
    await ownership.stop();
    await publisher.close();
    await wakeUps.close();
    await Promise.all([redis.quit(), loopRedis.quit()]);
  }
}
