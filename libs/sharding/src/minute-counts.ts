/**
 * Counts by name of each minute of the last hour. Scripts write them (`minute-counts.lua`) to a hash with a field
 * `<minutes since the epoch> <name>` for each, and remove older ones, so that it stays small.
 */
import type { Redis } from '@app/platform';
import type { ShardingKeys } from './sharding-keys.js';

export const MINUTES_KEPT = 60;

/** Counts by name; what did not occur is missing. */
export type Counts = ReadonlyMap<string, number>;

/**
 * Reads hashes of counts, and adds up those of the same minutes.
 * @param now epoch milliseconds, by Redis' clock
 * @returns the counts of 60 minutes, oldest first; the last is the minute that is not over yet
 */
export async function readMinuteCounts(redis: Redis, hashes: readonly string[], now: number): Promise<Counts[]> {
  const first = Math.floor(now / 60_000) - MINUTES_KEPT + 1;
  const minutes = Array.from({ length: MINUTES_KEPT }, () => new Map<string, number>());
  const read = await Promise.all(hashes.map((key) => redis.hgetall(key)));
  for (const [field, count] of read.flatMap((fields) => Object.entries(fields))) {
    const [number, name = ''] = field.split(' ');
    const counts = minutes[Number(number) - first];
    counts?.set(name, (counts.get(name) ?? 0) + Number(count));
  }
  return minutes;
}

/** What was counted with the logs of all shards. */
export async function readLogCounts(
  redis: Redis,
  keys: ShardingKeys,
  shardCount: number,
  now: number,
): Promise<Counts[]> {
  const hashes = Array.from({ length: shardCount }, (_, shard) => keys.logMinutes(shard));
  return readMinuteCounts(redis, hashes, now);
}
