/**
 * The log of a shard: streams for readers outside. All of them take their ids from one strictly rising sequence, the
 * time of Redis' clock that never falls below the last id, so that readers can merge them. Each is bounded in bytes.
 *
 * Hash `ShardingKeys.log`:
 * - `last`: the newest id of the sequence. Appends raise it, and so does each acquisition and renewal of the lease.
 * - `since`: the log is complete from here on. Later than a reader's position if Redis was emptied.
 * - `hole`: `<from> <until>`, milliseconds, of the last restart of Redis: the newest id that it still knew, and the time
 *   at which the first script ran since. A reader that had read beyond `from` before that has seen what Redis forgot.
 * - `limit`: bytes that all streams together may take, as the owner's settings say.
 * - `bytes:<name>`: bytes of a stream; `trimmed:<name>`: the id of the last entry that was removed from it.
 */
import type { ShardingKeys } from './sharding-keys.js';
import type { Redis } from '@app/platform';
import { commands } from './commands.js';

/** A stream of the log, and its part of the shard's bytes: one in `share`. */
export interface LogStream {
  key: string;
  name: string;
  share: number;
}

const trim = commands.load<
  { log: string; streams: readonly string[] },
  {
    limit: number;
    shard_count: number;
    retention_ms: number;
    most: number;
    part: number;
    streams: readonly (string | number)[];
  },
  [removed: number, ...heldMs: string[]]
>('trim-log');

export interface LogLimits {
  /** Bytes of a shard's streams together; undefined for 16 MiB, or a tenth of `maxmemory` by shards if that is less. */
  bytes?: number | undefined;
  /** One in so many of these bytes is kept; all of them unless set. */
  part?: number;
  shardCount: number;
  retentionMs: number;
}

export interface LogTrimmed {
  /** Entries removed; as many as were allowed if there may be more. */
  removed: number;
  /** How long ago the oldest entry of each stream was appended, in milliseconds; undefined for an empty one. */
  heldMs: (number | undefined)[];
}

/** Removes at most `most` entries of each stream of a shard that are too old or too many, and notes the limit. */
export async function trimLog(
  redis: Redis,
  keys: ShardingKeys,
  shard: number,
  streams: readonly LogStream[],
  { bytes = 0, part = 1, shardCount, retentionMs }: LogLimits,
  most: number,
): Promise<LogTrimmed> {
  const logKeys = { log: keys.log(shard), streams: streams.map(({ key }) => key) };
  const args = {
    limit: bytes,
    shard_count: shardCount,
    retention_ms: retentionMs,
    most,
    part,
    streams: streams.flatMap(({ name, share }) => [name, share]),
  };
  const [removed, ...held] = await trim.run(redis, logKeys, args);
  return { removed, heldMs: held.map((ms) => (ms === '' ? undefined : Number(ms))) };
}
