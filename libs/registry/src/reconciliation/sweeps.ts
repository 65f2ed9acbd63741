/** What is known of the last sweeps, and of what its results have changed. */
import { createHash, randomUUID } from 'node:crypto';
import { boundedWrite, type Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { SweepTrigger } from './maintenance.js';
import type { RegistryKeys } from '../keys.js';

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

/** Longest a sweep is remembered. */
const KEPT_MS = 30 * 86_400_000;
/** Sweeps that have ended, and that can still be read by their id. */
const KEPT_SWEEPS = 100;
/** What was passed on for a client that never registered is not passed on again for so long. */
const PASSED_ON_MS = 7 * 86_400_000;
/** Of so many clients of a shard at most; past that, what was passed on longest ago may be passed on again. */
const PASSED_ON_CLIENTS = 10_000;

const nextSweepId = commands.load<{ ids: string }, { new_id: string }, string>('next-sweep-id');

const beginSweep = commands.load<{ ids: string }, { new_id: string }, string>('begin-sweep');

const endSweep = commands.load<
  { last: string; ended: string; ids: string },
  { id: string; record: string; most_records: number; kept_ms: number },
  0 | 1
>('end-sweep');

const rememberReported = commands.load<
  { reported: string },
  { now: number; kept_ms: number; most: number; digests: readonly string[] },
  number
>('remember-reported');

export class Sweeps {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
    private readonly passedOnClients = PASSED_ON_CLIENTS,
  ) {}

  /** The id of the sweep that begins next: the same for everybody who asks until it begins. */
  nextId(): Promise<string> {
    return nextSweepId.run(this.redis, { ids: this.keys.sweepIds }, { new_id: randomUUID() });
  }

  /** The id of a sweep that begins now. One that failed, or whose process died, begins again under its id. */
  beginId(): Promise<string> {
    return beginSweep.run(this.redis, { ids: this.keys.sweepIds }, { new_id: randomUUID() });
  }

  /** @returns whether somebody waits for the next sweep */
  async end(record: SweepRecord): Promise<boolean> {
    const { lastSweep, endedSweeps, sweepIds } = this.keys;
    const args = { id: record.id, record: JSON.stringify(record), most_records: KEPT_SWEEPS, kept_ms: KEPT_MS };
    return (await endSweep.run(this.redis, { last: lastSweep, ended: endedSweeps, ids: sweepIds }, args)) === 1;
  }

  /** @returns `waiting` if it has not begun; undefined if no such sweep is known (any more) */
  async find(id: string): Promise<SweepRecord | 'waiting' | undefined> {
    // In the order in which a sweep passes through them, so that it is not missed on its way.
    const ids = await this.redis.hvals(this.keys.sweepIds);
    const latest = await this.latest();
    if (latest?.id === id) return latest;
    if (ids.includes(id)) return 'waiting';
    const ended = await this.redis.lrange(this.keys.endedSweeps, 0, -1);
    return ended.map((text) => JSON.parse(text) as SweepRecord).find((record) => record.id === id);
  }

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
  async reported(shard: number, clients: ReadonlyMap<string, string>): Promise<Set<string>> {
    if (clients.size === 0) return new Set();
    const since = Date.now() - PASSED_ON_MS;
    const times = await this.redis.zmscore(this.keys.reported(shard), ...Array.from(clients, digestOf));
    return new Set([...clients.keys()].filter((_, i) => Number(times[i] ?? 0) >= since));
  }

  /** @param clients a page of a sweep */
  async rememberReported(shard: number, clients: ReadonlyMap<string, string>): Promise<void> {
    if (clients.size === 0) return;
    await rememberReported.run(
      this.redis,
      { reported: this.keys.reported(shard) },
      { now: Date.now(), kept_ms: PASSED_ON_MS, most: this.passedOnClients, digests: Array.from(clients, digestOf) },
    );
  }

  private shards<T>(of: (shard: number) => Promise<T>): Promise<T>[] {
    return Array.from({ length: this.shardCount }, (_, shard) => of(shard));
  }
}

/** Of a client and what was found retained for it: one length, whatever the client is called. */
function digestOf([clientId, found]: readonly [string, string]): string {
  return createHash('sha256').update(`${clientId}/${found}`).digest('base64url').slice(0, 22);
}
