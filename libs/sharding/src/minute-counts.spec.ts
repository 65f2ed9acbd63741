import type { Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { commands } from './commands.js';
import { readLogCounts } from './minute-counts.js';
import { ShardingKeys } from './sharding-keys.js';

const MINUTE_MS = 60_000;

let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new ShardingKeys(`minutes${keySpaces++}`);
});

const countCommand = commands.fromText<{ log: string; stream: string }, { names: readonly string[] }, null>(
  'spec-log-count',
  `-- KEYS log, stream
-- ARGV names...
--- @include "shard-log"
return with_log(function()
  log_append(KEYS.log, KEYS.stream, 'state', 2, { 'text', 'x' })
  for i = ARGV.names, #ARGV do log_count(ARGV[i]) end
end)`,
);

async function count(shard: number, ...names: string[]): Promise<void> {
  await countCommand.run(redis, { log: keys.log(shard), stream: `${keys.shard(shard)}:stream` }, { names });
}

async function redisNow(): Promise<number> {
  return Number((await redis.time())[0]) * 1000;
}

/** The counts of the last hour that are not empty, by how many minutes ago they were. */
async function lastHour(now: number): Promise<Record<number, Record<string, number>>> {
  const minutes = await readLogCounts(redis, keys, 2, now);
  expect(minutes).toHaveLength(60);
  const found: Record<number, Record<string, number>> = {};
  for (const [i, counts] of minutes.entries()) if (counts.size > 0) found[59 - i] = Object.fromEntries(counts);
  return found;
}

describe('what the scripts of a shard count', () => {
  it('is added up over calls and shards', async () => {
    const before = await redisNow();
    await count(0, 'sent', 'queued', 'sent');
    await count(0, 'sent');
    await count(1, 'in_flight', 'sent');
    // If a minute has ended between the calls, the counts are in two slots.
    const found = Object.values(await lastHour(await redisNow()));
    const total = (name: string): number => found.reduce((sum, counts) => sum + (counts[name] ?? 0), 0);
    expect(['sent', 'queued', 'in_flight'].map(total)).toEqual([4, 1, 1]);
    expect(await lastHour(before - MINUTE_MS)).toEqual({});
  });

  it('is kept by minute, and removed an hour later', async () => {
    await count(0, 'sent');
    const [field = ''] = await redis.hkeys(keys.logMinutes(0));
    const minute = Number(field.split(' ')[0]);
    await redis.hset(keys.logMinutes(0), { [`${minute - 58} old`]: 3, [`${minute - 70} older`]: 3 });
    const now = minute * MINUTE_MS;
    expect(await lastHour(now)).toEqual({ 0: { sent: 1 }, 58: { old: 3 } });
    expect(await lastHour(now + 2 * MINUTE_MS)).toEqual({ 2: { sent: 1 } });
    await count(0, 'failed');
    expect(await redis.hexists(keys.logMinutes(0), `${minute - 58} old`)).toBe(1);
    expect(await redis.hexists(keys.logMinutes(0), `${minute - 70} older`)).toBe(0);
  });

  it('is not looked through again for each call', async () => {
    await count(0, 'sent');
    const [field = ''] = await redis.hkeys(keys.logMinutes(0));
    const old = `${Number(field.split(' ')[0]) - 70} older`;
    await redis.hset(keys.logMinutes(0), old, 3);
    await redis.hincrby(keys.logMinutes(0), `${Number(field.split(' ')[0]) + 1} sent`, 1);
    await count(0, 'sent');
    expect(await redis.hexists(keys.logMinutes(0), old)).toBe(1);
  });
});
