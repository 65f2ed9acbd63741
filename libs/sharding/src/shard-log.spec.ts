import type { NoArgs, Redis } from '@app/platform';
import fc from 'fast-check';
import { withRedis } from '../../../test/support/redis.js';
import { commands } from './commands.js';
import { Leases } from './leases.js';
import type { Grant } from './ownership.js';
import { trimLog, type LogStream } from './shard-log.js';
import { ShardingKeys } from './sharding-keys.js';

let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new ShardingKeys(`log${keySpaces++}`);
});

const appendCommand = commands.fromText<
  { log: string; streams: readonly string[] },
  { entries: readonly (string | number)[] },
  string[]
>(
  'spec-log-append',
  `-- KEYS log, streams...
-- ARGV entries...
--   entries: number of a stream and text in turn
-- Reply: ids
--- @include "shard-log"
return with_log(function()
  local ids = {}
  for i = ARGV.entries, #ARGV, 2 do
    local number = tonumber(ARGV[i])
    local stream = KEYS[KEYS.streams + number - 1]
    ids[#ids + 1] = log_append(KEYS.log, stream, 'stream-' .. number, 2, { 'text', ARGV[i + 1] })
  end
  return ids
end)`,
);

function streams(): LogStream[] {
  return [1, 2].map((number) => ({ key: `${keys.shard(0)}:stream-${number}`, name: `stream-${number}`, share: 2 }));
}

function append(...entries: [stream: 1 | 2, text: string][]): Promise<string[]> {
  const logKeys = { log: keys.log(0), streams: streams().map(({ key }) => key) };
  return appendCommand.run(redis, logKeys, { entries: entries.flat() });
}

async function textsOf(number: 1 | 2): Promise<string[]> {
  const entries = await redis.xrange(streams()[number - 1]?.key ?? '', '-', '+');
  return entries.map(([, [, text = '']]) => text);
}

async function field(name: string): Promise<string | null> {
  return redis.hget(keys.log(0), name);
}

function numberOf(id: string): [ms: number, number: number] {
  const [ms = NaN, number = NaN] = id.split('-').map(Number);
  return [ms, number];
}

function trim(bytes: number, retentionMs = 3_600_000, most = 1000): ReturnType<typeof trimLog> {
  return trimLog(redis, keys, 0, streams(), { bytes, shardCount: 1, retentionMs }, most);
}

describe("the ids of a shard's log", () => {
  it('rise with each entry, over all streams of the shard', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.constantFrom<1 | 2>(1, 2), { minLength: 1, maxLength: 5 }), {
          minLength: 1,
          maxLength: 8,
        }),
        async (batches) => {
          keys = new ShardingKeys(`log${keySpaces++}`);
          const ids: string[] = [];
          for (const batch of batches) ids.push(...(await append(...batch.map((one): [1 | 2, string] => [one, 'x']))));
          const sorted = ids.toSorted((a, b) => {
            const [[aMs, aNumber], [bMs, bNumber]] = [numberOf(a), numberOf(b)];
            return aMs - bMs || aNumber - bNumber;
          });
          expect(ids).toEqual(sorted);
          expect(new Set(ids).size).toBe(ids.length);
          expect(await field('last')).toBe(ids.at(-1));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('continue after the last id if the clock of Redis was set back', async () => {
    await redis.hset(keys.log(0), 'last', '99999999999999-7', 'since', '0-0');
    expect(await append([1, 'a'], [2, 'b'])).toEqual(['99999999999999-8', '99999999999999-9']);
  });

  it('count the entries that a script appended before it failed, and the error keeps its code', async () => {
    const fail = commands.fromText<{ log: string; stream: string }, NoArgs, unknown>(
      'spec-log-fail',
      `-- KEYS log, stream
--- @include "shard-log"
return with_log(function()
  for _ = 1, 3 do log_append(KEYS.log, KEYS.stream, 'stream-1', 2, { 'text', 'x' }) end
  redis.call('HGET', KEYS.stream, 'no hash')
end)`,
    );
    await redis.hset(keys.log(0), 'last', '99999999999999-7', 'since', '0-0');
    const failing = fail.run(redis, { log: keys.log(0), stream: streams()[0]?.key ?? '' }, {});
    await expect(failing).rejects.toMatchObject({
      name: 'RedisScriptError',
      message: expect.stringMatching(/^WRONGTYPE /) as string,
    });
    expect(await field('bytes:stream-1')).toBe(`${3 * 53}`);
    expect(await append([1, 'y'])).toEqual(['99999999999999-11']);
  });

  it('are written to the hash once by a script that appends several entries', async () => {
    const writes = async (): Promise<number> =>
      Number(/cmdstat_hset:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
    await append([1, 'a']);
    const before = await writes();
    await append([1, 'b'], [2, 'c'], [1, 'd'], [2, 'e'], [1, 'f']);
    expect((await writes()) - before).toBe(1);
  });

  it('are raised to the time of Redis by each acquisition and renewal of the lease, each shard for itself', async () => {
    const leases = new Leases(redis, keys, 'boot', 60_000);
    const grants: Grant[] = [];
    for (const index of [0, 1]) {
      const outcome = await leases.acquire({ kind: 'shard', index });
      if (outcome.kind !== 'acquired') throw new Error('not acquired');
      grants.push(outcome.grant);
    }
    const first = numberOf((await field('last')) ?? '')[0];
    await redis.hset(keys.log(0), 'last', '5-0');
    const ahead = `${first + 600_000}-7`;
    await redis.hset(keys.log(1), 'last', ahead);
    await Promise.all(leases.renew(grants));
    const raised = numberOf((await field('last')) ?? '')[0];
    expect(raised).toBeGreaterThanOrEqual(first);
    expect(raised).toBeLessThan(first + 600_000);
    expect(await redis.hget(keys.log(1), 'last')).toBe(ahead);
  });

  it.each<[string, () => Promise<unknown>]>([
    [
      'an acquisition',
      (): Promise<unknown> => new Leases(redis, keys, 'boot', 60_000).acquire({ kind: 'shard', index: 0 }),
    ],
    ['an append', (): Promise<unknown> => append([1, 'b'])],
  ])('record a restart of Redis at the first script, here %s: the last known id, and the time', async (_, script) => {
    // To the other stream: in the same millisecond, the append after the restart gets the same id.
    const [before = ''] = await append([2, 'a']);
    const [seconds = '0'] = await redis.time();
    const uptime = Number(/uptime_in_seconds:(\d+)/.exec(await redis.info('server'))?.[1]);
    const old = (Number(seconds) - uptime) * 1000 - 60_000;
    await redis.hset(keys.log(0), 'last', `${old}-3`);
    await script();
    const [from = 0, until = 0] = ((await field('hole')) ?? '').split(' ').map(Number);
    expect(from).toBe(old);
    expect(until).toBeGreaterThanOrEqual(numberOf(before)[0]);
    await script();
    expect(await field('hole')).toBe(`${from} ${until}`);
  });

  it('start again if Redis was emptied, and the hash says since when', async () => {
    const [before = ''] = await append([1, 'a']);
    await redis.flushall();
    await append([1, 'b']);
    const since = (await field('since')) ?? '';
    expect(numberOf(since)[0]).toBeGreaterThanOrEqual(numberOf(before)[0]);
    const [again] = await append([1, 'c']);
    expect(await field('since')).toBe(since);
    expect(again).toBe(await field('last'));
  });
});

describe("a stream of a shard's log", () => {
  it('is trimmed by an append at twice its share, and the id of the last removed entry is kept', async () => {
    await redis.hset(keys.log(0), 'last', '1-0', 'limit', 4000);
    const ids = await append(...Array.from({ length: 100 }, (_, i): [1 | 2, string] => [1, `${i}`.padStart(52, '.')]));
    const kept = await textsOf(1);
    // Each entry counts 104 bytes: 48 for itself, and its field and text of 4 and 52 characters.
    expect(kept).toHaveLength(Math.floor(4000 / 104));
    expect(kept.at(-1)).toBe(`99`.padStart(52, '.'));
    expect(await field('trimmed:stream-1')).toBe(ids[100 - kept.length - 1]);
    expect(Number(await field('bytes:stream-1'))).toBe(104 * kept.length);
    expect(await field('trimmed:stream-2')).toBeNull();
  });

  it('is trimmed to its share by the owner, at most some entries at a time', async () => {
    await append(...Array.from({ length: 50 }, (_, i): [1 | 2, string] => [1, `${i}`.padStart(52, '.')]));
    await append([2, 'other']);
    expect((await trim(4160, 3_600_000, 10)).removed).toBe(10);
    expect((await trim(4160)).removed).toBe(20);
    expect((await trim(4160)).removed).toBe(0);
    expect(await textsOf(1)).toHaveLength(20);
    expect(await textsOf(2)).toEqual(['other']);
  });

  it('is trimmed to the retention by the owner, which gets the age of the oldest entry', async () => {
    await append([1, 'a']);
    const [ms] = numberOf((await append([1, 'b']))[0] ?? '');
    await redis.xadd(streams()[1]?.key ?? '', `${ms - 10_000}-0`, 'text', 'old');
    const { removed, retainedMs } = await trim(1_000_000, 5000);
    expect(removed).toBe(1);
    expect(await textsOf(1)).toEqual(['a', 'b']);
    expect(retainedMs[0]).toBeLessThan(5000);
    expect(retainedMs[1]).toBeUndefined();
    expect(await field('bytes:stream-2')).toBe('0');
  });

  it('is limited to a tenth of maxmemory divided by the shards if no limit is set', async () => {
    await redis.config('SET', 'maxmemory', '100000000');
    try {
      await trimLog(redis, keys, 0, streams(), { shardCount: 10, retentionMs: 1000 }, 10);
      expect(await field('limit')).toBe('1000000');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    await trimLog(redis, keys, 0, streams(), { shardCount: 10, retentionMs: 1000 }, 10);
    expect(await field('limit')).toBe('16777216');
  });

  it('keeps only a part of its bytes if that is asked for, and may take all of them again after that', async () => {
    await append(...Array.from({ length: 16 }, (): [1, string] => [1, 'x'.repeat(100)]));
    const bytes = 2 * Number(await field('bytes:stream-1'));
    const limits = { bytes, shardCount: 1, retentionMs: 3_600_000 };
    await trimLog(redis, keys, 0, streams(), limits, 1000);
    expect(await textsOf(1)).toHaveLength(16);
    await trimLog(redis, keys, 0, streams(), { ...limits, part: 4 }, 1000);
    expect(await textsOf(1)).toHaveLength(4);
    expect(await field('limit')).toBe(`${bytes / 4}`);
    await trimLog(redis, keys, 0, streams(), limits, 1000);
    expect(await field('limit')).toBe(`${bytes}`);
  });
});
