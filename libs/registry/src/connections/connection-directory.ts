/** Reading connections: one, a page of them, how many there are. */
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { commands } from '../commands.js';
import { decodeConnection, type Connection } from './connection.js';
import { CONNECTION_STATES, CONNECTION_TYPES, type ConnectionState, type ConnectionType } from '../connection-state.js';
import { factTerm, factValues, type SearchableFact } from './fact-index.js';
import { heldCounts } from '../messages/outbox.js';
import { PAGE_BYTES } from '../page-bytes.js';
import type { RegistryKeys } from '../keys.js';

export interface ConnectionFilter {
  state?: ConnectionState;
  type?: ConnectionType;
  /** Exact values; all must match. */
  facts?: Partial<Record<SearchableFact, string>>;
  /** Only those of this account. */
  within?: string;
}

/** Where a page ends: connections stand in the order of (shard, client id), whatever comes and goes. */
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

/** Most shards read in one round trip of a listing. */
const MAX_SHARDS_AT_ONCE = 32;

/** So few records are read without asking how large they are: a record is about as large as its handshake may be. */
const FEW = 32;
/** Most bytes of more records that are read at once, about as many as 32 handshakes of the largest size that is usual. */
const LOADED_BYTES = FEW * 262_144;

const readConnections = commands.load<
  { connections: string },
  { bytes: number; clients: readonly string[] },
  (string | null)[]
>('read-connections');

export class ConnectionDirectory {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** The connection, or undefined if the client never registered or belongs to an account other than `within`. */
  async find(clientId: string, within?: string): Promise<Connection | undefined> {
    const [connection] = await this.load(shardOf(clientId, this.shardCount), [clientId]);
    return within === undefined || connection?.account === within ? connection : undefined;
  }

  /**
   * The connections of these clients of one shard, in their order; undefined if there is none, or it cannot be read. The
   * shard's owner, notified with `unreadable`, moves an unreadable record to the dead letters.
   * @returns those of the first clients if together the records have more than about `LOADED_BYTES`, at least of one
   */
  async load(
    shard: number,
    clientIds: readonly string[],
    unreadable: (clientId: string, text: string) => void = () => undefined,
  ): Promise<(Connection | undefined)[]> {
    if (clientIds.length === 0) return [];
    const texts =
      clientIds.length <= FEW
        ? await this.redis.hmget(this.keys.connections(shard), ...clientIds)
        : await this.textsOf(shard, clientIds, LOADED_BYTES);
    return texts.map((text, i) => {
      if (text === null) return undefined;
      const connection = decodeConnection(text);
      if (connection === undefined) unreadable(clientIds[i] ?? '', text);
      return connection;
    });
  }

  /**
   * What `take` makes of the connections of these clients of one shard, in their order. The records are read a part at a
   * time, each of about so many bytes: as large as records may be, they are never in memory together.
   */
  async map<T>(
    shard: number,
    clientIds: readonly string[],
    take: (connection: Connection | undefined, index: number) => T,
    bytes = PAGE_BYTES,
  ): Promise<T[]> {
    const taken: T[] = [];
    while (taken.length < clientIds.length) {
      for (const text of await this.textsOf(shard, clientIds.slice(taken.length), bytes))
        taken.push(take(text === null ? undefined : decodeConnection(text), taken.length));
    }
    return taken;
  }

  /** How many messages are held for each of these connections, with one script a shard. */
  async held(connections: readonly Connection[]): Promise<number[]> {
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

  /** One page of at most `limit` connections, and of about `PAGE_BYTES`: it may be short and still have a next one. */
  async list(filter: ConnectionFilter, limit: number, cursor?: PageCursor): Promise<ConnectionPage> {
    const connections: Connection[] = [];
    let bytes = 0;
    let last = cursor;
    let shard = cursor?.shard ?? 0;
    // Few shards at first, since one often fills the page; more when they prove sparse.
    let width = 1;
    while (shard < this.shardCount) {
      const count = Math.min(width, this.shardCount - shard);
      const pages = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          this.idsOf(shard + i, filter, shard + i === cursor?.shard ? cursor.after : '', limit + 1),
        ),
      );
      for (const [i, ids] of pages.entries()) {
        if (ids.length === 0) continue;
        const room = limit - connections.length;
        if (last !== undefined && (room === 0 || bytes >= PAGE_BYTES)) return { connections, next: last };
        const texts = await this.textsOf(shard + i, ids.slice(0, room), PAGE_BYTES - bytes);
        for (const text of texts) {
          bytes += text?.length ?? 0;
          const connection = text === null ? undefined : decodeConnection(text);
          if (connection !== undefined && matches(connection, filter)) connections.push(connection);
        }
        last = { shard: shard + i, after: ids[texts.length - 1] ?? '' };
        if (texts.length < ids.length) return { connections, next: last };
      }
      shard += count;
      width = Math.min(MAX_SHARDS_AT_ONCE, width * 2);
    }
    return { connections };
  }

  /** Client ids of one shard that are online, in their order, a page at a time. */
  async *online(shard: number, pageSize: number): AsyncGenerator<string[], void> {
    for (let after: string | undefined = ''; after !== undefined;) {
      const ids: string[] = await this.idsOf(shard, { state: 'online' }, after, pageSize);
      yield ids;
      after = ids.length < pageSize ? undefined : ids.at(-1);
    }
  }

  /** How many connections there are by state and type. */
  async summary(within?: string): Promise<Summary> {
    const counts: Summary = { online: { host: 0, proxy: 0 }, offline: { host: 0, proxy: 0 } };
    await Promise.all(
      Array.from({ length: this.shardCount }, (_, shard) =>
        Promise.all(
          CONNECTION_STATES.flatMap((state) =>
            CONNECTION_TYPES.map(async (type) => {
              const count = await this.redis.zcard(this.keys.index(shard, state, type, within));
              counts[state][type] += count;
            }),
          ),
        ),
      ),
    );
    return counts;
  }

  /** Records of a shard, in their order, until they have so many bytes: at least one. */
  private textsOf(shard: number, clientIds: readonly string[], bytes: number): Promise<(string | null)[]> {
    return readConnections.run(
      this.redis,
      { connections: this.keys.connections(shard) },
      { bytes, clients: clientIds },
    );
  }

  /** Ids of one shard that may match, in byte order, after one id; at most `count`. */
  private async idsOf(shard: number, filter: ConnectionFilter, after: string, count: number): Promise<string[]> {
    const [fact] = Object.entries(filter.facts ?? {}) as [SearchableFact, string][];
    if (fact !== undefined) {
      const term = factTerm(...fact);
      // ';' is the character after ':' with which a term ends.
      const from = after === '' ? `[${term}` : `(${term}${after}`;
      const to = `(${term.slice(0, -1)};`;
      const members = await this.redis.zrange(
        this.keys.facts(shard, filter.within),
        from,
        to,
        'BYLEX',
        'LIMIT',
        0,
        count,
      );
      return members.map((member) => member.slice(term.length));
    }
    const sets = CONNECTION_STATES.filter((state) => (filter.state ?? state) === state).flatMap((state) =>
      CONNECTION_TYPES.filter((type) => (filter.type ?? type) === type).map((type) =>
        this.keys.index(shard, state, type, filter.within),
      ),
    );
    const from = after === '' ? '-' : `(${after}`;
    // At one moment: a client that changes its state between two reads would be missed.
    const transaction = this.redis.multi();
    for (const set of sets) transaction.zrange(set, from, '+', 'BYLEX', 'LIMIT', 0, count);
    const replies = (await transaction.exec()) ?? [];
    const ranges = replies.map(([error, ids]) => {
      if (error !== null) throw error;
      return ids as string[];
    });
    const ids = ranges.length === 1 ? (ranges[0] ?? []) : inByteOrder(ranges.flat());
    return ids.slice(0, count);
  }
}

/** Sorts as Redis does: by UTF-8 bytes, not by UTF-16 units. */
function inByteOrder(ids: string[]): string[] {
  return [...new Set(ids)]
    .map((id) => [id, Buffer.from(id)] as const)
    .sort(([, a], [, b]) => a.compare(b))
    .map(([id]) => id);
}

function matches(connection: Connection, filter: ConnectionFilter): boolean {
  if (filter.within !== undefined && connection.account !== filter.within) return false;
  if (filter.state !== undefined && connection.state !== filter.state) return false;
  if (filter.type !== undefined && connection.type !== filter.type) return false;
  return Object.entries(filter.facts ?? {}).every(([fact, value]) =>
    factValues(connection.facts, fact as SearchableFact).includes(value),
  );
}
