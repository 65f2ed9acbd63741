/**
 * Ownership for a single ingester: it takes every shard and lane at start, each with a new epoch, and keeps them.
 * A second ingester that starts all the same takes everything over, and the first one's writes are refused.
 */
import { randomUUID } from 'node:crypto';
import { RedisScript, type Logger, type Redis } from '@app/platform';
import type { Grant, Ownership, OwnershipListener } from './ownership.js';
import { nameOf, type Resource, type ShardingKeys } from './sharding-keys.js';

/** KEYS epoch, owner · ARGV boot id → the new epoch. */
const acquire = new RedisScript<number>(
  'ccAcquire',
  `local epoch = redis.call('INCR', KEYS[1])
   redis.call('SET', KEYS[2], epoch .. ':' .. ARGV[1])
   return epoch`,
);

/** KEYS owner · ARGV fence: removes only a fence that is still ours. */
const release = new RedisScript<number>(
  'ccRelease',
  `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
   return redis.call('DEL', KEYS[1])`,
);

export class StaticOwnership implements Ownership {
  /** A restart is a new member (S4). */
  private readonly bootId = randomUUID();
  private readonly grants = new Map<string, Grant>();
  private listener: OwnershipListener | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    private readonly resources: readonly Resource[],
    private readonly logger: Logger,
  ) {}

  async start(listener: OwnershipListener): Promise<void> {
    this.listener = listener;
    // Shards first: nothing is taken in before somebody can act on it.
    for (const resource of this.resources.toSorted((a, b) => b.kind.localeCompare(a.kind))) {
      const keys = [this.keys.epoch(resource), this.keys.owner(resource)];
      const epoch = await acquire.run(this.redis, keys, [this.bootId]);
      const grant: Grant = { ...resource, epoch, fence: `${epoch}:${this.bootId}` };
      this.grants.set(nameOf(resource), grant);
      await listener.granted(grant);
    }
    this.logger.info({ resources: this.grants.size, boot_id: this.bootId }, 'owns all shards and lanes');
  }

  held(): readonly Grant[] {
    return [...this.grants.values()];
  }

  lost(grant: Grant): void {
    if (this.grants.get(nameOf(grant)) !== grant) return;
    this.grants.delete(nameOf(grant));
    this.logger.error(
      { [grant.kind]: grant.index, epoch: grant.epoch },
      'another ingester has taken over; this one stops acting. Run one ingester only',
    );
    this.listener?.revoked(grant).catch((error: unknown) => {
      this.logger.error({ err: error, [grant.kind]: grant.index }, 'could not stop acting');
    });
  }

  async stop(): Promise<void> {
    for (const grant of this.grants.values()) {
      await release.run(this.redis, [this.keys.owner(grant)], [grant.fence]);
    }
    this.grants.clear();
  }
}
