/**
 * Ownership for a single ingester: it takes every shard and lane at start, each with a new epoch, and keeps them.
 * A second ingester that starts all the same takes everything over, and the first one's writes are refused.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
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

const RETRY_MS = 1000;

export class StaticOwnership implements Ownership {
  /** A restart is a new member (S4). */
  private readonly bootId = randomUUID();
  private readonly grants = new Map<string, Grant>();
  private listener: OwnershipListener | undefined;
  private readonly stopping = new AbortController();

  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    private readonly resources: readonly Resource[],
    private readonly logger: Logger,
  ) {}

  async start(listener: OwnershipListener): Promise<void> {
    this.listener = listener;
    // Shards first: nothing is taken in before somebody can act on it.
    for (const resource of this.resources.toSorted((a, b) => b.kind.localeCompare(a.kind)))
      await this.acquire(resource);
    this.logger.info({ resources: this.grants.size, boot_id: this.bootId }, 'owns all shards and lanes');
  }

  held(): readonly Grant[] {
    return [...this.grants.values()];
  }

  async confirm(grant: Grant): Promise<boolean> {
    if ((await this.redis.get(this.keys.owner(grant))) === grant.fence) return true;
    this.lost(grant);
    return false;
  }

  lost(grant: Grant): void {
    if (this.grants.get(nameOf(grant)) !== grant) return;
    this.grants.delete(nameOf(grant));
    this.giveUp(grant).catch((error: unknown) => {
      this.logger.error({ err: error, [grant.kind]: grant.index }, 'could not give up what was lost');
    });
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    for (const grant of this.grants.values()) {
      await release.run(this.redis, [this.keys.owner(grant)], [grant.fence]);
    }
    this.grants.clear();
  }

  private async acquire({ kind, index }: Resource): Promise<void> {
    const resource = { kind, index };
    const keys = [this.keys.epoch(resource), this.keys.owner(resource)];
    const epoch = await acquire.run(this.redis, keys, [this.bootId]);
    const grant: Grant = { ...resource, epoch, fence: `${epoch}:${this.bootId}` };
    this.grants.set(nameOf(resource), grant);
    await this.listener?.granted(grant);
  }

  /** Stops acting. Where nobody else has taken over, Redis has lost what it held: then takes part anew (S0). */
  private async giveUp(grant: Grant): Promise<void> {
    const about = { [grant.kind]: grant.index, epoch: grant.epoch };
    await this.listener?.revoked(grant);
    if (this.stopped() || (await this.redis.get(this.keys.owner(grant))) !== null) {
      this.logger.error(about, 'another ingester has taken over; this one stops acting. Run one ingester only');
      return;
    }
    this.logger.error(about, 'Redis has lost the owner of what this process acted for; taking it anew');
    while (!this.stopped()) {
      try {
        await this.acquire(grant);
        return;
      } catch (error) {
        this.grants.delete(nameOf(grant));
        this.logger.error({ ...about, err: error }, 'could not take it; trying again');
        // Rejects where it is stopped meanwhile: the loop sees that itself.
        await sleep(RETRY_MS, undefined, { ref: false, signal: this.stopping.signal }).catch(() => undefined);
      }
    }
  }

  /** A method, so that each call is taken as a new answer: it may change during any `await`. */
  private stopped(): boolean {
    return this.stopping.signal.aborted;
  }
}
