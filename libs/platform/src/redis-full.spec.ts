import { withRedis } from '../../../test/support/redis.js';
import { quiet } from '../../../test/support/servers.js';
import { MemoryWatch, parseMemoryMark } from './memory-watch.js';
import { RedisFullError } from './redis-error.js';
import { boundedWrite } from './bounded-write.js';
import { LuaCommands, type LuaCommand } from './lua-commands.js';
import type { Redis } from './redis.js';

const SET = `-- KEYS key
-- ARGV value
return redis.call('SET', KEYS.key, ARGV.value)`;

function setter(name: string, text: string): LuaCommand<{ key: string }, { value: number }, unknown> {
  return new LuaCommands('spec/src/commands').fromText(name, text);
}

let redis: Redis;

withRedis((connection) => (redis = connection));

async function fill(): Promise<void> {
  await redis.set('foreign', 'x'.repeat(4_000_000));
  await redis.config('SET', 'maxmemory', 2_000_000);
}

afterEach(async () => {
  await redis.config('SET', 'maxmemory', 0);
  await redis.flushall();
});

describe('a Redis at its maxmemory', () => {
  it('still runs a script with the flag allow-oom, and a bounded write', async () => {
    await fill();
    expect(await setter('run', `#!lua flags=allow-oom\n${SET}`).run(redis, { key: 'run' }, { value: 1 })).toBe('OK');
    await boundedWrite(redis, 'SET', 'write', '1', 'PX', 60_000);
    expect(await redis.mget('run', 'write')).toEqual(['1', '1']);
  });

  it('fails a script without the flag allow-oom before it has stored anything', async () => {
    await fill();
    const refused = setter('refuse', SET).run(redis, { key: 'refused' }, { value: 1 });
    await expect(refused).rejects.toThrow(RedisFullError);
    expect(await redis.exists('refused')).toBe(0);
  });
});

describe('MemoryWatch', () => {
  it('reports whether Redis is above a mark, and how much memory Redis may use', async () => {
    const watch = new MemoryWatch(redis, ['a'], quiet);
    await watch.start();
    expect([watch.maxBytes, watch.isAbove({ share: 0.5 }, 0)]).toEqual([undefined, false]);
    watch.stop();
    await fill();
    const after = new MemoryWatch(redis, ['a'], quiet);
    await after.start();
    expect([after.maxBytes, after.isAbove({ share: 0.85 }, 0)]).toEqual([2_000_000, true]);
    expect([after.isAbove({ bytes: 3_000_000 }, 0), after.isAbove({ bytes: 30_000_000 }, 0)]).toEqual([true, false]);
    after.stop();
  });

  it('parses a mark as a share or as a number of bytes', () => {
    expect(parseMemoryMark('0.85')).toEqual({ share: 0.85 });
    expect(parseMemoryMark('1')).toEqual({ share: 1 });
    expect(parseMemoryMark('2000000')).toEqual({ bytes: 2_000_000 });
    for (const wrong of ['0', '-1', '2', '85%', '1.5e6'])
      expect(() => parseMemoryMark(wrong)).toThrow('must be a share');
  });
});
