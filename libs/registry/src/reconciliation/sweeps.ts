/** The records of the last sweeps, and the number of corrections that each of them caused. */
import { createHash, randomUUID } from 'node:crypto';
import { boundedWrite, type Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { SweepTrigger } from './maintenance.js';
import type { RegistryKeys } from '../keys.js';

/** The clients that a sweep reported to their shards, by what the shard corrected. */
export interface Corrections {
  /** The client came online. */
  online: number;
  /** The client stayed online, with another handshake. */
  updated: number;
  /** The client went offline. */
  offline: number;
  /** The client stayed offline, for another reason. */
  reason: number;
  /** There was no difference any more. */
  none: number;
}

/**
 * Why a sweep may not have read everything. `cut-short`: the broker stopped sending before it had sent the sentinel.
 * `more-each-time`: each further pass brought messages that the one before had missed. `left-out`: no pass brought messages that
 * are retained.
 */
export const INCOMPLETE_REASONS = ['cut-short', 'more-each-time', 'left-out'] as const;
export type IncompleteReason = (typeof INCOMPLETE_REASONS)[number];

export interface SweepRecord {
  id: string;
  trigger: SweepTrigger;
  state: 'running' | 'ended';
  /** The member that runs the sweep. */
  member: string;
  /** Epoch milliseconds. */
  startedAt: number;
  endedAt: number | null;
  /** Whether the broker sent all retained messages, as far as can be known; null while they are being read. */
  complete: boolean | null;
  /** null unless the sweep is incomplete. Absent in records of older releases. */
  incompleteReason?: IncompleteReason | null;
  /** Number of retained status messages read. */
  read: number;
  /** Number of clients whose retained message differs from the registry. */
  differing: number;
  /** Number of clients that are online in the registry but have no retained message; each is verified separately. */
  unseen: number;
  corrections: Corrections;
}

export const NO_CORRECTIONS: Corrections = { online: 0, updated: 0, offline: 0, reason: 0, none: 0 };

/** Retention of the records of sweeps. */
const KEPT_MS = 30 * 86_400_000;
/** Limit for the records of sweeps that have ended. */
const KEPT_SWEEPS = 100;
/** The retained message of a client that never registered is not reported again for this time. */
const REPORTED_MS = 7 * 86_400_000;
/** Limit for such clients of a shard. Beyond it, the client that was reported first may be reported again. */
const REPORTED_CLIENTS = 10_000;

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
    private readonly reportedClients = REPORTED_CLIENTS,
  ) {}

  /** The id of the sweep that begins next. It stays the same until that sweep begins. */
  nextId(): Promise<string> {
    return nextSweepId.run(this.redis, { ids: this.keys.sweepIds }, { new_id: randomUUID() });
  }

  /** The id of a sweep that begins now. A sweep that failed or whose process died begins again under the same id. */
  beginId(): Promise<string> {
    return beginSweep.run(this.redis, { ids: this.keys.sweepIds }, { new_id: randomUUID() });
  }

  /** @returns whether a caller waits for the next sweep */
  async end(record: SweepRecord): Promise<boolean> {
    const { lastSweep, endedSweeps, sweepIds } = this.keys;
    const args = { id: record.id, record: JSON.stringify(record), most_records: KEPT_SWEEPS, kept_ms: KEPT_MS };
    return (await endSweep.run(this.redis, { last: lastSweep, ended: endedSweeps, ids: sweepIds }, args)) === 1;
  }

  /** @returns `waiting` if the sweep has not begun; undefined if it is unknown or its record has expired */
  async find(id: string): Promise<SweepRecord | 'waiting' | undefined> {
    // Read the keys in the order in which a sweep moves through them: another order could miss a sweep that moves.
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

  /** The corrections that were counted so far under any of these ids. */
  async corrections(...ids: readonly string[]): Promise<Corrections> {
    const ofShard = (shard: number): Promise<Record<string, string>>[] =>
      ids.map((id) => this.redis.hgetall(this.keys.sweepCounts(shard, id)));
    const counts = (await Promise.all(this.shards((shard) => Promise.all(ofShard(shard))))).flat();
    const sum = { ...NO_CORRECTIONS };
    for (const count of counts) {
      for (const kind of Object.keys(sum) as (keyof Corrections)[]) sum[kind] += Number(count[kind] ?? 0);
    }
    return sum;
  }

  /** Notes that a complete sweep has ended: an unknown client has never registered. */
  async markSwept(at: number): Promise<void> {
    await Promise.all(this.shards((shard) => boundedWrite(this.redis, 'SET', this.keys.swept(shard), at)));
  }

  /** Those of the given unregistered clients of a shard whose retained message was reported before. */
  async reported(shard: number, clients: ReadonlyMap<string, string>): Promise<Set<string>> {
    if (clients.size === 0) return new Set();
    const since = Date.now() - REPORTED_MS;
    const times = await this.redis.zmscore(this.keys.reported(shard), ...Array.from(clients, digestOf));
    return new Set([...clients.keys()].filter((_, i) => Number(times[i] ?? 0) >= since));
  }

  /** @param clients unregistered clients with their retained messages, of one page of a sweep */
  async rememberReported(shard: number, clients: ReadonlyMap<string, string>): Promise<void> {
    if (clients.size === 0) return;
    await rememberReported.run(
      this.redis,
      { reported: this.keys.reported(shard) },
      { now: Date.now(), kept_ms: REPORTED_MS, most: this.reportedClients, digests: Array.from(clients, digestOf) },
    );
  }

  private shards<T>(of: (shard: number) => Promise<T>): Promise<T>[] {
    return Array.from({ length: this.shardCount }, (_, shard) => of(shard));
  }
}

/** Digest of a client id and its retained message, so that each takes the same space. */
function digestOf([clientId, found]: readonly [string, string]): string {
  return createHash('sha256').update(`${clientId}/${found}`).digest('base64url').slice(0, 22);
}
