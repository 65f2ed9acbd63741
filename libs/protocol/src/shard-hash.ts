/**
 * Which shard a client belongs to. Frozen (S8): every key of a client lives on its shard, so another result for
 * the same id would lose the client. `shard-hash.spec.ts` holds golden vectors; a new hash needs a new
 * `HASH_VERSION`, which a key space written with the old one refuses.
 */
import { crc32 } from 'node:zlib';

/** Stored in the key space's marker (S0). */
export const HASH_VERSION = 'crc32-1';

/** Most shards a key space can have: the message id carries the shard in 12 bits. */
export const MAX_SHARD_COUNT = 4096;

/** The shard of a client, 0 to `shardCount - 1`: CRC-32 (ISO-HDLC, as in gzip) of its UTF-8 bytes, modulo the count. */
export function shardOf(clientId: string, shardCount: number): number {
  return crc32(clientId) % shardCount;
}
