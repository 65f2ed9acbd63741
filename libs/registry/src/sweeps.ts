/** What is known of the last sweep, and of what its results have changed. */
import { boundedWrite, RedisScript, type Redis } from '@app/platform';
import type { SweepTrigger } from './maintenance.js';
import type { RegistryKeys } from './registry-keys.js';

/** What became of the clients that a sweep passed on, by kind. */
export interface Corrections {
  /** Came online. */
  online: number;
  /** Were online, with another handshake. */
  updated: number;
  /** Went offline. */
  offline: number;
  /** Were offline for another reason. */
  reason: number;
  /** Agreed after all. */
  none: number;
}

export interface SweepRecord {
  id: string;
  trigger: SweepTrigger;
  state: 'running' | 'ended';
  /** The member that runs it. */
  member: string;
  /** Epoch milliseconds. */
  startedAt: number;
  endedAt: number | null;
  /** Whether the broker sent everything it retains, as far as can be known; null while it is being read. */
  complete: boolean | null;
  /** Retained status messages read. */
  read: number;
  /** Clients about which the broker said something else than the registry. */
  differing: number;
  /** Clients online in the registry that were not seen, and verified on their own. */
  unseen: number;
  corrections: Corrections;
}

export const NO_CORRECTIONS: Corrections = { online: 0, updated: 0, offline: 0, reason: 0, none: 0 };

/** Longest the last sweep is remembered. */
const KEPT_MS = 30 * 86_400_000;
/** What was passed on for a client that never registered is not passed on again for so long. */
const PASSED_ON_MS = 7 * 86_400_000;

/** KEYS broker · ARGV seconds it has been running → since when, Redis' clock, where it was restarted; else false. */
const uptimeScript = new RedisScript<string | null>(
  'ccBrokerUptime',
  `local time = redis.call('TIME')
   local now = time[1] * 1000 + math.floor(time[2] / 1000)
   local uptime = tonumber(ARGV[1])
   local known = redis.call('HMGET', KEYS[1], 'uptime', 'since')
   local since = now - uptime * 1000
   redis.call('HSET', KEYS[1], 'uptime', ARGV[1], 'since', string.format('%.0f', since))
   if not known[1] then return false end
   -- It runs for less long than before; or nobody has looked for so long that this has been passed again.
   if uptime < tonumber(known[1]) or since - tonumber(known[2]) > 60000 then return string.format('%.0f', since) end
   return false`,
);

export class Sweeps {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  async save(record: SweepRecord): Promise<void> {
    await boundedWrite(this.redis, 'SET', this.keys.lastSweep, JSON.stringify(record), 'PX', KEPT_MS);
  }

  async latest(): Promise<SweepRecord | undefined> {
    const text = await this.redis.get(this.keys.lastSweep);
    return text === null ? undefined : (JSON.parse(text) as SweepRecord);
  }

  /** What the results of a sweep have changed up to now. */
  async corrections(id: string): Promise<Corrections> {
    const counts = await Promise.all(this.shards((shard) => this.redis.hgetall(this.keys.sweepCounts(shard, id))));
    const sum = { ...NO_CORRECTIONS };
    for (const count of counts) {
      for (const kind of Object.keys(sum) as (keyof Corrections)[]) sum[kind] += Number(count[kind] ?? 0);
    }
    return sum;
  }

  /** From now on a client that is not known has never registered. */
  async markSwept(at: number): Promise<void> {
    await Promise.all(this.shards((shard) => boundedWrite(this.redis, 'SET', this.keys.swept(shard), at)));
  }

  /** Of these clients of a shard that never registered, those whose retained message was passed on before. */
  async passedOn(shard: number, clients: ReadonlyMap<string, string>): Promise<Set<string>> {
    if (clients.size === 0) return new Set();
    const ids = [...clients.keys()];
    const known = await this.redis.mget(ids.map((id) => this.keys.passedOn(shard, id)));
    return new Set(ids.filter((id, i) => known[i] === clients.get(id)));
  }

  async notePassedOn(shard: number, clients: ReadonlyMap<string, string>): Promise<void> {
    await Promise.all(
      Array.from(clients, ([id, digest]) =>
        boundedWrite(this.redis, 'SET', this.keys.passedOn(shard, id), digest, 'PX', PASSED_ON_MS),
      ),
    );
  }

  /** Notes how long the broker has been running. @returns since when, by Redis' clock, where it was restarted */
  async brokerRuns(seconds: number): Promise<number | undefined> {
    const since = await uptimeScript.run(this.redis, [this.keys.broker], [seconds]);
    return since === null ? undefined : Number(since);
  }

  private shards<T>(of: (shard: number) => Promise<T>): Promise<T>[] {
    return Array.from({ length: this.shardCount }, (_, shard) => of(shard));
  }
}
