import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { NO_CORRECTIONS, Sweeps, type SweepRecord } from './sweeps.js';

let redis: Redis;
let sweeps: Sweeps;
let keys: RegistryKeys;
let keySpaces = 0;

withRedis((connection) => {
  redis = connection;
});

beforeEach(() => {
  keys = new RegistryKeys(`sweeps${keySpaces++}`);
  sweeps = new Sweeps(redis, keys, 1);
});

function record(id: string, state: SweepRecord['state'] = 'running'): SweepRecord {
  const counts = { read: 0, differing: 0, unseen: 0, corrections: NO_CORRECTIONS };
  return { id, trigger: 'request', state, member: 'a', startedAt: 1, endedAt: null, complete: null, ...counts };
}

it('callers that ask for the next sweep before it begins get the same id', async () => {
  const id = await sweeps.nextId();
  expect(await sweeps.nextId()).toBe(id);
  expect(await sweeps.find(id)).toBe('waiting');
  expect(await sweeps.beginId()).toBe(id);
  expect(await sweeps.nextId()).not.toBe(id);
  expect(await sweeps.find(id)).toBe('waiting');
  await sweeps.save(record(id));
  expect(await sweeps.find(id)).toEqual(record(id));
});

it('an unfinished sweep begins again under its id, and the sweep requested during it follows', async () => {
  const first = await sweeps.beginId();
  const second = await sweeps.nextId();
  expect(await sweeps.beginId()).toBe(first);
  expect(await sweeps.end(record(first, 'ended'))).toBe(true);
  expect(await sweeps.beginId()).toBe(second);
  expect(await sweeps.end(record(second, 'ended'))).toBe(false);
  expect(await sweeps.beginId()).not.toBe(second);
  expect(await sweeps.find(first)).toEqual(record(first, 'ended'));
});

describe('a reported retained message of an unregistered client', () => {
  it('is remembered until the retained message changes', async () => {
    await sweeps.rememberReported(
      0,
      new Map([
        ['a', 'x'],
        ['b', 'y'],
      ]),
    );
    expect(
      await sweeps.reported(
        0,
        new Map([
          ['a', 'x'],
          ['b', 'z'],
          ['c', 'x'],
        ]),
      ),
    ).toEqual(new Set(['a']));
  });

  it('is remembered in one key that expires, for a limited number of clients of a shard, the last ones', async () => {
    const few = new Sweeps(redis, keys, 1, 10);
    for (let i = 0; i < 30; i++) await few.rememberReported(0, new Map([[`client-${i}`, 'x']]));
    expect(await redis.keys(`${keys.prefix}:*`)).toEqual([keys.reported(0)]);
    expect(await redis.zcard(keys.reported(0))).toBe(10);
    expect(await redis.pttl(keys.reported(0))).toBeGreaterThan(0);
    expect(
      await few.reported(
        0,
        new Map([
          ['client-0', 'x'],
          ['client-29', 'x'],
        ]),
      ),
    ).toEqual(new Set(['client-29']));
  });

  it('is forgotten after a week', async () => {
    await sweeps.rememberReported(0, new Map([['a', 'x']]));
    const [member = ''] = await redis.zrange(keys.reported(0), '0', '-1');
    await redis.zadd(keys.reported(0), Date.now() - 8 * 86_400_000, member);
    expect(await sweeps.reported(0, new Map([['a', 'x']]))).toEqual(new Set());
    await sweeps.rememberReported(0, new Map([['b', 'x']]));
    expect(await redis.zcard(keys.reported(0))).toBe(1);
  });
});

it('the records of the last 100 sweeps are kept', async () => {
  const ids = Array.from({ length: 102 }, (_, i) => `sweep-${i}`);
  for (const id of ids) await sweeps.end(record(id, 'ended'));
  expect(await sweeps.find('sweep-1')).toBeUndefined();
  expect(await sweeps.find('sweep-2')).toMatchObject({ id: 'sweep-2' });
  expect(await sweeps.latest()).toMatchObject({ id: 'sweep-101' });
  expect(await redis.pttl(keys.endedSweeps)).toBeGreaterThan(0);
});
