/** Connections that a shard's actor remembers: bounded by their number, and by the memory that they take. */
import { LRUCache } from 'lru-cache';
import type { Connection } from '@app/registry';

/** Connections that the actors of this process remember, all shards together. */
const MOST = 50_000;
/** Bytes that they take together. */
const MOST_BYTES = 268_435_456;
/** What a connection takes besides its facts, its handshakes and its events. */
const CONNECTION_BYTES = 2048;
/** What a value of the facts takes besides its text: a client may send nothing but empty objects. */
const VALUE_BYTES = 64;

export type ConnectionCache = LRUCache<string, Connection>;

/** One that is larger than the share of its shard is not remembered, but read again each time. */
export function connectionCache(shardCount: number, mostBytes = MOST_BYTES): ConnectionCache {
  return new LRUCache({
    max: Math.max(1, Math.floor(MOST / shardCount)),
    maxSize: Math.max(1, Math.floor(mostBytes / shardCount)),
    sizeCalculation: bytesOf,
  });
}

// Facts seldom change: each object is measured once.
const factsBytes = new WeakMap<Connection['facts'], number>();

/** An estimate of the memory that a connection takes; facts are also kept as text. */
export function bytesOf({ facts, superseded_handshakes: left, account_asked: asked }: Connection): number {
  let bytes = factsBytes.get(facts);
  if (bytes === undefined) factsBytes.set(facts, (bytes = measure(facts)));
  return CONNECTION_BYTES + bytes + 2 * left.join().length + 2 * (asked?.bytes ?? 0);
}

/** Without recursion: a client chooses how deep its facts are nested. */
function measure(value: unknown): number {
  let bytes = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const one = open.pop();
    bytes += VALUE_BYTES;
    if (typeof one === 'string') bytes += 3 * one.length;
    else if (Array.isArray(one)) for (const member of one) open.push(member);
    else if (typeof one === 'object' && one !== null) {
      for (const [name, member] of Object.entries(one)) {
        bytes += 3 * name.length;
        open.push(member);
      }
    }
  }
  return bytes;
}
