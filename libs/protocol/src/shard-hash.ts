/**
 * Maps a client to its shard. Frozen (S8): all keys of a client are on its shard, so a different result for the same id
 * would lose the client's data. `shard-hash.spec.ts` holds golden vectors. A new hash needs a new `HASH_VERSION`; the
 * apps refuse a key space that was written with another one.
 */
import { crc32 } from 'node:zlib';

/** Stored in the key space's marker (S0). */
export const HASH_VERSION = 'crc32-1';

/** Highest shard count of a key space: a message id has 12 bits for the shard. */
export const MAX_SHARD_COUNT = 4096;

/** The shard of a client, 0 to `shardCount - 1`: CRC-32 (ISO-HDLC, as in gzip) of its UTF-8 bytes, modulo the count. */
export function shardOf(clientId: string, shardCount: number): number {
  return crc32(clientId) % shardCount;
}
