/**
 * Leases in Redis: who holds a shard or lane, in which epoch, for how long. Each script tells what is actually held
 * afterwards, so that a lost answer or a lost race needs no second question.
 */
import { RedisScript, type Redis } from '@app/platform';
import type { Grant } from './ownership.js';
import { LOG_LUA } from './shard-log.js';
import type { Resource, ShardingKeys } from './sharding-keys.js';

/** What became of an attempt to acquire. */
export type Acquisition =
  | { kind: 'acquired'; grant: Grant }
  /** Somebody else's, for at least so long unless given back earlier. */
  | { kind: 'held'; fence: string; forMs: number };

/** Who holds what was granted. */
export type Standing = 'ours' | 'nobody' | 'another';

/**
 * KEYS owner, epoch, log of a shard (absent for a lane) · ARGV boot id, lease ms → { fence held now, ms it still holds }
 * An epoch is never lower than the server's clock in milliseconds, so that epochs rise even where the counter was
 * lost: lane marks of the lost time may survive on other slots. Acquiring what is ours already starts a new epoch:
 * the answer to the earlier attempt was lost, or this process has stopped acting meanwhile.
 */
const acquireScript = new RedisScript<[string, number]>(
  'ccAcquire',
  `${LOG_LUA}
   local owner = redis.call('GET', KEYS[1])
   if owner and string.match(owner, ':(.*)$') ~= ARGV[1] then return { owner, redis.call('PTTL', KEYS[1]) } end
   local time = redis.call('TIME')
   local now = time[1] * 1000 + math.floor(time[2] / 1000)
   local epoch = string.format('%.0f', math.max(now, tonumber(redis.call('GET', KEYS[2]) or '0') + 1))
   redis.call('SET', KEYS[2], epoch)
   local fence = epoch .. ':' .. ARGV[1]
   redis.call('SET', KEYS[1], fence, 'PX', ARGV[2])
   if KEYS[3] then log_raise(KEYS[3]) end
   return { fence, tonumber(ARGV[2]) }`,
);

/** KEYS owner, log of a shard · ARGV fence, lease ms → the fence held now, '' where nobody holds it. Extends only a lease that is still ours. */
const renewScript = new RedisScript<string>(
  'ccRenew',
  `${LOG_LUA}
   local owner = redis.call('GET', KEYS[1])
   if owner == ARGV[1] then
     redis.call('PEXPIRE', KEYS[1], ARGV[2])
     if KEYS[2] then log_raise(KEYS[2]) end
   end
   return owner or ''`,
);

/** KEYS owner · ARGV fence → the fence held now, '' where nobody holds it. Removes only a lease that is still ours. */
const releaseScript = new RedisScript<string>(
  'ccRelease',
  `local owner = redis.call('GET', KEYS[1])
   if owner == ARGV[1] then
     redis.call('DEL', KEYS[1])
     return ''
   end
   return owner or ''`,
);

export class Leases {
  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    /** Part of every fence: a restart is a new member (S4). */
    private readonly bootId: string,
    private readonly leaseMs: number,
  ) {}

  async acquire({ kind, index }: Resource): Promise<Acquisition> {
    const resource = { kind, index };
    const keys = [this.keys.owner(resource), this.keys.epoch(resource), ...this.logOf(resource)];
    const [fence, forMs] = await acquireScript.run(this.redis, keys, [this.bootId, this.leaseMs]);
    if (!fence.endsWith(`:${this.bootId}`)) return { kind: 'held', fence, forMs };
    return { kind: 'acquired', grant: { ...resource, epoch: Number.parseInt(fence, 10), fence } };
  }

  /** Extends the lease where it is still ours. @returns whose it is now */
  async renew(grant: Grant): Promise<Standing> {
    const keys = [this.keys.owner(grant), ...this.logOf(grant)];
    return standingOf(grant, await renewScript.run(this.redis, keys, [grant.fence, this.leaseMs]));
  }

  /** Gives the lease back where it is still ours. @returns whose it is now */
  async release(grant: Grant): Promise<Standing> {
    return standingOf(grant, await releaseScript.run(this.redis, [this.keys.owner(grant)], [grant.fence]));
  }

  /** Whose lease it is. */
  async standing(grant: Grant): Promise<Standing> {
    return standingOf(grant, (await this.redis.get(this.keys.owner(grant))) ?? '');
  }

  private logOf({ kind, index }: Resource): string[] {
    return kind === 'shard' ? [this.keys.log(index)] : [];
  }
}

function standingOf(grant: Grant, fence: string): Standing {
  if (fence === '') return 'nobody';
  return fence === grant.fence ? 'ours' : 'another';
}
