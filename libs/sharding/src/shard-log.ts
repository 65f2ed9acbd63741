/**
 * The log of a shard: streams that other processes read. All streams of a shard take their ids from one strictly rising
 * sequence, so that readers can merge them: an id is the time of Redis' clock, but never less than the last id. Each
 * stream is bounded in bytes.
 *
 * Hash `ShardingKeys.log`:
 * - `last`: the newest id of the sequence. Appends raise it, and so does each acquisition and renewal of the lease.
 * - `since`: the log is complete from this id on. It is later than a reader's position if Redis was emptied.
 * - `hole`: `<from> <until>`, milliseconds, written after a restart of Redis: the newest id that Redis still had, and the
 *   time of the first script after the restart. A reader that was beyond `from` has read entries that Redis has lost.
 * - `limit`: the bytes that all streams together may take, from the owner's settings.
 * - `bytes:<name>`: size of a stream; `trimmed:<name>`: id of the last entry that was removed from it.
 */
import type { ShardingKeys } from './sharding-keys.js';
import type { Redis } from '@app/platform';
import { commands } from './commands.js';

/** A stream of the log. It may take `limit / share` bytes. */
export interface LogStream {
  key: string;
  name: string;
  share: number;
}

/** An entry that a commit appends to a stream of the log. */
export interface LogAppend {
  stream: LogStream;
  /** Field and value in turn. */
  fields: readonly (string | number)[];
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
  [removed: number, ...retainedMs: string[]]
>('trim-log');

export interface LogLimits {
  /** Bytes of a shard's streams together. Default: 16 MiB, or `maxmemory / 10 / shardCount` if that is less. */
  bytes?: number | undefined;
  /** The streams keep only `bytes / part`. Default: 1. */
  part?: number;
  shardCount: number;
  retentionMs: number;
}

export interface LogTrimmed {
  /** How many entries were removed from all streams together. */
  removed: number;
  /** Age of each stream's oldest entry, in milliseconds; undefined if the stream is empty. */
  retainedMs: (number | undefined)[];
}

/**
 * Stores the limit, and removes entries that are too old or exceed it: the oldest first, and at most `most` from each
 * stream.
 */
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
  const [removed, ...ages] = await trim.run(redis, logKeys, args);
  return { removed, retainedMs: ages.map((ms) => (ms === '' ? undefined : Number(ms))) };
}
