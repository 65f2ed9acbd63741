/**
 * What a shard's actor remembers between batches, for as long as its grant lasts: connections, the last live entry of each
 * client, and the bytes of waiting events. The actor alone writes them, so the memory agrees with Redis until a commit fails.
 */
import { LRUCache } from 'lru-cache';
import type { Connection, ConnectionChange } from '@app/registry';
import { isAfter, type Grant } from '@app/sharding';

/** Most connections that all shards of the cluster together have in memory, and the bytes that they take. */
const CACHED = { connections: 50_000, bytes: 268_435_456 } as const;
/** Estimate of what a connection takes besides its facts, its handshakes and its events. */
const CONNECTION_BYTES = 2048;
/** Estimate of what a value of the facts takes besides its text: a client may send nothing but empty objects. */
const VALUE_BYTES = 64;
/** Most clients of a shard whose last live entry is remembered. */
const MOST_ENTRIES = 20_000;

export type ConnectionCache = LRUCache<string, Connection>;

export class ShardMemory {
  readonly connections: ConnectionCache;
  readonly lastLive: LastLiveEntries;
  /** Bytes of the events that wait for the accounts of their clients; undefined until they are read from Redis. */
  waitingBytes: number | undefined;

  /** @param position of the mailbox when the grant began */
  constructor(
    readonly grant: Grant,
    position: string,
    shardCount: number,
  ) {
    this.connections = connectionCache(shardCount);
    this.lastLive = new LastLiveEntries(position);
  }

  /** Call it when the changes are committed. */
  remember(connections: ReadonlyMap<string, ConnectionChange>, lastLive: ReadonlyMap<string, string>): void {
    for (const [clientId, { after }] of connections) {
      if (after === undefined) this.connections.delete(clientId);
      // Clients seen only by a sweep are not cached; caching them would evict active clients.
      else if (lastLive.has(clientId) || this.connections.has(clientId)) this.connections.set(clientId, after);
    }
    for (const [clientId, entry] of lastLive) this.lastLive.note(clientId, entry);
  }
}

/** A connection that is larger than the cache of its shard is not cached, but read again each time. */
export function connectionCache(shardCount: number, bytes: number = CACHED.bytes): ConnectionCache {
  return new LRUCache({
    max: Math.max(1, Math.floor(CACHED.connections / shardCount)),
    maxSize: Math.max(1, Math.floor(bytes / shardCount)),
    sizeCalculation: bytesOf,
  });
}

// Facts seldom change, so each object is measured once.
const factsBytes = new WeakMap<Connection['facts'], number>();

/** An estimate of the memory that a connection takes. Facts are kept as text, too. */
export function bytesOf(connection: Connection): number {
  const { facts, superseded_handshakes: superseded, account_asked: asked, applied_messages: applied } = connection;
  let bytes = factsBytes.get(facts);
  if (bytes === undefined) factsBytes.set(facts, (bytes = measure(facts)));
  const texts = superseded.join().length + (asked?.bytes ?? 0) + (applied?.length ?? 0);
  return CONNECTION_BYTES + bytes + 2 * texts;
}

/** Not recursive: a client chooses how deep its facts are nested. */
function measure(facts: unknown): number {
  let bytes = 0;
  const stack: unknown[] = [facts];
  while (stack.length > 0) {
    const value = stack.pop();
    bytes += VALUE_BYTES;
    if (typeof value === 'string') bytes += 3 * value.length;
    else if (Array.isArray(value)) for (const item of value) stack.push(item);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value)) {
        bytes += 3 * name.length;
        stack.push(member);
      }
    }
  }
  return bytes;
}

export interface ReadonlyLastLiveEntries {
  /** Whether a live entry came after the id `noted`. `unknown`: the memory does not reach back that far. */
  sinceNoted(clientId: string, noted: string): 'nothing' | 'something' | 'unknown';
}

/**
 * The last live mailbox entry of each client that bears on its state. A reading of retained messages counts only if the
 * client has no such entry after the id that was noted before the broker was asked (V1).
 */
export class LastLiveEntries implements ReadonlyLastLiveEntries {
  /** In the order of the entries. */
  private readonly entries = new Map<string, string>();

  constructor(
    /** Nothing is known of entries up to this one. */
    private from: string,
    private readonly most = MOST_ENTRIES,
  ) {}

  note(clientId: string, entry: string): void {
    this.entries.delete(clientId);
    this.entries.set(clientId, entry);
    if (this.entries.size <= this.most) return;
    const [oldest] = this.entries;
    if (oldest === undefined) return;
    this.entries.delete(oldest[0]);
    this.from = oldest[1];
  }

  sinceNoted(clientId: string, noted: string): 'nothing' | 'something' | 'unknown' {
    const entry = this.entries.get(clientId);
    if (entry !== undefined && isAfter(entry, noted)) return 'something';
    return isAfter(this.from, noted) ? 'unknown' : 'nothing';
  }
}
