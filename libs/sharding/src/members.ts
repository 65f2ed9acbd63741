/**
 * The members of the cluster: who is alive, and what each says it holds. A member lives until its heartbeat is
 * overdue by Redis' clock. What members say only guides the assignment; the leases alone decide who acts.
 */
import { RedisScript, type Redis } from '@app/platform';
import type { Fitness } from './fitness.js';
import type { ShardingKeys } from './sharding-keys.js';

/** What a member tells the others about itself. */
export interface Announcement {
  /** For people: the pod's or host's name. */
  name: string;
  /** When it began to take part, RFC 3339 by its own clock; for people. */
  since: string;
  /** Format of what it writes: members of a newer one wait until those of an older one have ended. */
  format: number;
  /** How many lanes its settings ask for. */
  wants_lanes: number;
  /** How many lanes it knows to have sessions: more than anybody wants while surplus ones are being drained. */
  knows_lanes: number;
  /** It is stopping: it gives back what it holds. */
  draining: boolean;
  fitness: Fitness;
  shards: number[];
  lanes: number[];
}

/** `id`: name and boot id, so that a restart is a new member (S4). */
export type Member = Announcement & { id: string };

export interface Heard {
  /** All live members, oneself included; undefined where nothing has changed since the last heartbeat. */
  members: Member[] | undefined;
  /** The next heartbeat of another member is overdue in so many milliseconds. */
  nextOverdueMs: number | undefined;
}

/**
 * KEYS alive, members, version · ARGV member, announcement, ttl ms, version known, channel
 * → { version, ms until another member is overdue or -1, then member, announcement … where the version is new }
 * Whoever comes first removes the overdue; every change is published. All keys go when nobody is left.
 */
const heartbeatScript = new RedisScript<[string, number, ...string[]]>(
  'ccHeartbeat',
  `local time = redis.call('TIME')
   local now = time[1] * 1000 + math.floor(time[2] / 1000)
   local changed = false
   for _, id in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE')) do
     if id ~= ARGV[1] then
       redis.call('ZREM', KEYS[1], id)
       redis.call('HDEL', KEYS[2], id)
       changed = true
     end
   end
   if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
     redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
     changed = true
   end
   redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
   local version = redis.call('GET', KEYS[3])
   if changed or not version then
     version = time[1] .. '.' .. string.format('%06d', time[2])
     redis.call('SET', KEYS[3], version)
     redis.call('PUBLISH', ARGV[5], version)
   end
   for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[3] * 10) end
   local reply = { version, -1 }
   local soonest = redis.call('ZRANGE', KEYS[1], 0, 1, 'WITHSCORES')
   for i = 1, #soonest, 2 do
     if soonest[i] ~= ARGV[1] then
       reply[2] = soonest[i + 1] - now
       break
     end
   end
   if version ~= ARGV[4] then
     local announced = redis.call('HGETALL', KEYS[2])
     for i = 1, #announced, 2 do
       -- One that is announced without a heartbeat would never become overdue.
       if redis.call('ZSCORE', KEYS[1], announced[i]) then
         reply[#reply + 1] = announced[i]
         reply[#reply + 1] = announced[i + 1]
       else
         redis.call('HDEL', KEYS[2], announced[i])
       end
     end
   end
   return reply`,
);

/** KEYS alive, members, version · ARGV member, channel */
const leaveScript = new RedisScript<number>(
  'ccLeave',
  `redis.call('ZREM', KEYS[1], ARGV[1])
   redis.call('HDEL', KEYS[2], ARGV[1])
   redis.call('DEL', KEYS[3])
   return redis.call('PUBLISH', ARGV[2], '')`,
);

/** KEYS alive, members → member, announcement … of those who are not overdue. */
const listScript = new RedisScript<string[]>(
  'ccMembers',
  `local time = redis.call('TIME')
   local now = time[1] * 1000 + math.floor(time[2] / 1000)
   local reply = {}
   for _, id in ipairs(redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE')) do
     local announced = redis.call('HGET', KEYS[2], id)
     if announced then
       reply[#reply + 1] = id
       reply[#reply + 1] = announced
     end
   end
   return reply`,
);

export class Members {
  private known = '';

  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    readonly id: string,
    /** A member whose heartbeat is older than this is gone. */
    private readonly ttlMs: number,
  ) {}

  async heartbeat(announcement: Announcement): Promise<Heard> {
    const args = [this.id, JSON.stringify(announcement), this.ttlMs, this.known, this.keys.clusterChannel];
    const [version, overdue, ...parts] = await heartbeatScript.run(this.redis, this.keys.cluster, args);
    const members = version === this.known ? undefined : decode(parts);
    this.known = version;
    return { members, nextOverdueMs: overdue < 0 ? undefined : overdue };
  }

  async leave(): Promise<void> {
    this.known = '';
    await leaveScript.run(this.redis, this.keys.cluster, [this.id, this.keys.clusterChannel]);
  }
}

/** The live members, for one who does not take part. */
export async function listMembers(redis: Redis, keys: ShardingKeys): Promise<Member[]> {
  return decode(await listScript.run(redis, keys.cluster.slice(0, 2), []));
}

function decode(parts: readonly string[]): Member[] {
  const members: Member[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    // Release 0.1.0 announces no format; it writes format 1.
    members.push({
      format: 1,
      ...(JSON.parse(parts[i + 1] ?? '') as Partial<Announcement>),
      id: parts[i] ?? '',
    } as Member);
  }
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}
