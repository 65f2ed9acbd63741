/**
 * Ids of outbound messages: UUIDv7 (RFC 9562) whose 12 `rand_a` bits hold the shard of the client, so that the id alone
 * leads to the record. Ids are ordered by time to the millisecond only; the order of delivery never depends on them.
 */
import { randomBytes } from 'node:crypto';
import { MAX_SHARD_COUNT } from './shard-hash.js';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

// One system call draws the random bytes of 512 ids.
let pool = Buffer.alloc(0);
let used = 0;

function random8(): Buffer {
  if (used + 8 > pool.length) {
    pool = randomBytes(8 * 512);
    used = 0;
  }
  used += 8;
  return pool.subarray(used - 8, used);
}

/** Makes a message id for a client of `shard`. `at` is in milliseconds since 1970. */
export function newMessageId(shard: number, at: number = Date.now()): string {
  if (!Number.isInteger(shard) || shard < 0 || shard >= MAX_SHARD_COUNT) {
    throw new RangeError(`shard ${shard} does not fit a message id: it must be 0 to ${MAX_SHARD_COUNT - 1}`);
  }
  const time = at.toString(16).padStart(12, '0');
  const tail = random8();
  tail[0] = ((tail[0] ?? 0) & 0x3f) | 0x80;
  const hex = tail.toString('hex');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${shard.toString(16).padStart(3, '0')}-${hex.slice(0, 4)}-${hex.slice(4)}`;
}

/** The shard of the client a message is for; `undefined` if the id is not one of this service. */
export function shardOfMessageId(id: string): number | undefined {
  return UUID_V7.test(id) ? Number.parseInt(id.slice(15, 18), 16) : undefined;
}
