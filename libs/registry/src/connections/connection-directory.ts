/** Reads connections: one, several, a page of them, and how many there are. */
import { shardOf } from '@app/protocol';
import type { NoArgs, Redis } from '@app/platform';
import { commands } from '../commands.js';
import type { Connection } from './connection.js';
import { decodeConnection } from './connection-record.js';
import {
  CONNECTION_STATES,
  CONNECTION_TYPES,
  OFFLINE_REASONS,
  type ConnectionState,
  type ConnectionType,
  type OfflineReason,
} from '../connection-state.js';
import { clientIdIn, endOf, factTerm, factValues, type SearchableFact } from './fact-index.js';
import { heldCounts } from '../messages/outbox.js';
import { PAGE_BYTES } from '../page-bytes.js';
import type { RegistryKeys } from '../keys.js';

export interface ConnectionFilter {
  state?: ConnectionState;
  type?: ConnectionType;
  /** Only offline ones, for this reason. */
  offlineReason?: OfflineReason;
  /** The first characters of the client id. */
  prefix?: string;
  /** Only those with held messages. */
  held?: true;
  /** Only those whose handshakes are refused at the moment. */
  refused?: true;
  /** Exact values; all must match. */
  facts?: Partial<Record<SearchableFact, string>>;
  /** Only connections of this account. */
  account?: string;
}

/** The last connection of a page. Pages follow the order (shard, client id), which additions and removals do not change. */
export interface PageCursor {
  shard: number;
  after: string;
}

export interface ConnectionPage {
  connections: Connection[];
  /** Absent on the last page. */
  next?: PageCursor;
}

export type Summary = Record<ConnectionState, Record<ConnectionType, number>>;

/** Shards that one step of a listing reads at the same time, at most. */
const MAX_SHARDS_PER_READ = 32;

/** Up to this many records are read in one go, whatever their size: a record is about as large as its handshake. */
const MAX_UNMEASURED_RECORDS = 32;
/** Limit for reads of more records: 32 handshakes of the largest usual size. */
const MAX_LOAD_BYTES = MAX_UNMEASURED_RECORDS * 262_144;

const setSizes = commands.load<{ sets: readonly string[] }, NoArgs, number[]>('set-sizes');

const readConnections = commands.load<
  { connections: string },
  { bytes: number; clients: readonly string[] },
  (string | null)[]
>('read-connections');

export class ConnectionDirectory {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    readonly shardCount: number,
  ) {}

  /** The connection, or undefined if the client never registered or belongs to another account than the given one. */
  async find(clientId: string, account?: string): Promise<Connection | undefined> {
    const [connection] = await this.load(shardOf(clientId, this.shardCount), [clientId]);
    return account === undefined || connection?.account === account ? connection : undefined;
  }

  /**
   * The connections of these clients of one shard, in the same order; undefined for a client without a readable record.
   * `onUnreadable` is called for each unreadable record; the shard's owner moves it to the dead letters.
   * @returns only the first ones, but at least one, if the records together exceed about `MAX_LOAD_BYTES`
   */
  async load(
    shard: number,
    clientIds: readonly string[],
    onUnreadable: (clientId: string, text: string) => void = () => undefined,
  ): Promise<(Connection | undefined)[]> {
    if (clientIds.length === 0) return [];
    const texts =
      clientIds.length <= MAX_UNMEASURED_RECORDS
        ? await this.redis.hmget(this.keys.connections(shard), ...clientIds)
        : await this.textsOf(shard, clientIds, MAX_LOAD_BYTES);
    return texts.map((text, i) => {
      if (text === null) return undefined;
      const clientId = clientIds[i] ?? '';
      const connection = decodeConnection(clientId, text);
      if (connection === undefined) onUnreadable(clientId, text);
      return connection;
    });
  }

  /**
   * Applies `toResult` to the connections of these clients of one shard, in the same order. Reads about `bytes` bytes of
   * records at a time, so that large records are never all in memory at once.
   */
  async map<T>(
    shard: number,
    clientIds: readonly string[],
    toResult: (connection: Connection | undefined, index: number) => T,
    bytes = PAGE_BYTES,
  ): Promise<T[]> {
    const results: T[] = [];
    while (results.length < clientIds.length) {
      for (const text of await this.textsOf(shard, clientIds.slice(results.length), bytes)) {
        const i = results.length;
        results.push(toResult(text === null ? undefined : decodeConnection(clientIds[i] ?? '', text), i));
      }
    }
    return results;
  }

  /** How many messages are held for each of these connections. Runs one script per shard. */
  async heldCounts(connections: readonly Connection[]): Promise<number[]> {
    const counts: number[] = [];
    const shards = new Map<number, number[]>();
    for (const [i, { client_id: clientId }] of connections.entries()) {
      const shard = shardOf(clientId, this.shardCount);
      const positions = shards.get(shard);
      if (positions === undefined) shards.set(shard, [i]);
      else positions.push(i);
    }
    await Promise.all(
      Array.from(shards, async ([shard, positions]) => {
        const ids = positions.map((i) => connections[i]?.client_id ?? '');
        const found = await heldCounts(this.redis, this.keys, shard, ids);
        for (const [n, i] of positions.entries()) counts[i] = found[n] ?? 0;
      }),
    );
    return counts;
  }

  /** One page of at most `limit` connections and about `PAGE_BYTES`: a short page may still have a next one. */
  async list(filter: ConnectionFilter, limit: number, cursor?: PageCursor): Promise<ConnectionPage> {
    const connections: Connection[] = [];
    let bytes = 0;
    let last = cursor;
    let shard = cursor?.shard ?? 0;
    // Start with one shard, since it often fills the page, and read more at a time if matches are sparse.
    let width = 1;
    while (shard < this.shardCount) {
      const count = Math.min(width, this.shardCount - shard);
      const pages = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          this.clientIds(shard + i, filter, shard + i === cursor?.shard ? cursor.after : '', limit + 1),
        ),
      );
      for (const [i, ids] of pages.entries()) {
        if (ids.length === 0) continue;
        const room = limit - connections.length;
        if (last !== undefined && (room === 0 || bytes >= PAGE_BYTES)) return { connections, next: last };
        const texts = await this.textsOf(shard + i, ids.slice(0, room), PAGE_BYTES - bytes);
        const found: Connection[] = [];
        for (const [n, text] of texts.entries()) {
          bytes += text?.length ?? 0;
          const connection = text === null ? undefined : decodeConnection(ids[n] ?? '', text);
          if (connection !== undefined && matches(connection, filter)) found.push(connection);
        }
        const held = filter.held === true ? await this.heldCounts(found) : [];
        connections.push(...found.filter((_, n) => filter.held === undefined || (held[n] ?? 0) > 0));
        last = { shard: shard + i, after: ids[texts.length - 1] ?? '' };
        if (texts.length < ids.length) return { connections, next: last };
      }
      shard += count;
      width = Math.min(MAX_SHARDS_PER_READ, width * 2);
    }
    return { connections };
  }

  /** The ids of the online clients of one shard in byte order, a page at a time. */
  async *online(shard: number, pageSize: number): AsyncGenerator<string[], void> {
    for (let after: string | undefined = ''; after !== undefined;) {
      const ids: string[] = await this.clientIds(shard, { state: 'online' }, after, pageSize);
      yield ids;
      after = ids.length < pageSize ? undefined : ids.at(-1);
    }
  }

  /** The number of connections by state and type: the sizes of the sets. */
  async summary(account?: string): Promise<Summary> {
    const counts: Summary = { online: { host: 0, proxy: 0 }, offline: { host: 0, proxy: 0 } };
    await Promise.all(
      Array.from({ length: this.shardCount }, async (_, shard) => {
        const sets = CONNECTION_STATES.flatMap((state) =>
          CONNECTION_TYPES.flatMap((type) =>
            this.setsOf(shard, { state, type, ...(account !== undefined && { account }) }).map((key) => ({
              state,
              type,
              key,
            })),
          ),
        );
        const sizes = await setSizes.run(this.redis, { sets: sets.map(({ key }) => key) }, {});
        for (const [i, { state, type }] of sets.entries()) counts[state][type] += sizes[i] ?? 0;
      }),
    );
    return counts;
  }

  /** Records of a shard, in the order of the ids, until they have this many bytes; at least one. */
  private textsOf(shard: number, clientIds: readonly string[], bytes: number): Promise<(string | null)[]> {
    return readConnections.run(
      this.redis,
      { connections: this.keys.connections(shard) },
      { bytes, clients: clientIds },
    );
  }

  /** Ids of one shard that may match and follow `after`, in byte order; at most `count`. */
  async clientIds(shard: number, filter: ConnectionFilter, after: string, count: number): Promise<string[]> {
    const { prefix = '' } = filter;
    const [fact] = Object.entries(filter.facts ?? {}) as [SearchableFact, string][];
    if (fact !== undefined) {
      const { bucket, term } = factTerm(...fact, filter.account);
      const from = after === '' ? `[${term}${prefix}` : `(${term}${after}`;
      const key = this.keys.facts(shard, bucket);
      const until = prefix === '' ? `(${endOf(term)}` : endOfPrefix(term + prefix);
      const members = await this.redis.zrange(key, from, until, 'BYLEX', 'LIMIT', 0, count);
      return members.map(clientIdIn);
    }
    const from = after === '' ? `[${prefix}` : `(${after}`;
    const until = prefix === '' ? '+' : endOfPrefix(prefix);
    // In one transaction: separate reads would miss a client that changes its state between them.
    const transaction = this.redis.multi();
    for (const set of this.setsOf(shard, filter)) transaction.zrange(set, from, until, 'BYLEX', 'LIMIT', 0, count);
    const replies = (await transaction.exec()) ?? [];
    const ranges = replies.map(([error, ids]) => {
      if (error !== null) throw error;
      return ids as string[];
    });
    const ids = ranges.length === 1 ? (ranges[0] ?? []) : inByteOrder(ranges.flat());
    return ids.slice(0, count);
  }

  /** The smallest sets of a shard that together have all connections which match, if no fact is given. */
  private setsOf(shard: number, { account, held, refused, offlineReason, ...filter }: ConnectionFilter): string[] {
    const { keys } = this;
    if (held === true) return [keys.held(shard, account)];
    if (refused === true) return [keys.refused(shard, account)];
    const isWanted = (state: ConnectionState): boolean => (filter.state ?? state) === state;
    return CONNECTION_TYPES.filter((type) => (filter.type ?? type) === type).flatMap((type) => [
      ...(isWanted('online') && offlineReason === undefined ? [keys.online(shard, type, account)] : []),
      ...(isWanted('offline') ? OFFLINE_REASONS : [])
        .filter((reason) => (offlineReason ?? reason) === reason)
        .map((reason) => keys.offline(shard, type, reason, account)),
    ]);
  }
}

/** The end of the range of members that begin with a text. No text has the byte 255. */
function endOfPrefix(prefix: string): Buffer {
  return Buffer.concat([Buffer.from(`(${prefix}`), Buffer.from([255])]);
}

/** Sorts as Redis does, by UTF-8 bytes; JavaScript sorts by UTF-16 units. */
function inByteOrder(ids: string[]): string[] {
  return [...new Set(ids)]
    .map((id) => [id, Buffer.from(id)] as const)
    .sort(([, a], [, b]) => a.compare(b))
    .map(([id]) => id);
}

function matches(connection: Connection, filter: ConnectionFilter): boolean {
  if (filter.account !== undefined && connection.account !== filter.account) return false;
  if (filter.state !== undefined && connection.state !== filter.state) return false;
  if (filter.type !== undefined && connection.type !== filter.type) return false;
  if (filter.prefix !== undefined && !connection.client_id.startsWith(filter.prefix)) return false;
  if (filter.offlineReason !== undefined && (connection.offline_reason ?? 'unknown') !== filter.offlineReason)
    return false;
  if (filter.refused === true && !refusesNow(connection.refused_until)) return false;
  return Object.entries(filter.facts ?? {}).every(([fact, value]) =>
    factValues(connection.facts, fact as SearchableFact).includes(value),
  );
}

function refusesNow(until: Connection['refused_until']): boolean {
  return until === 'never' || (until !== null && until > Date.now());
}
