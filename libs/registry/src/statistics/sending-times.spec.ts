import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { SENDING_TIMES_MS, SendingTimes, readSendingTimes } from './sending-times.js';

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`times${keySpaces++}`);
});

/** How many messages of the last hour took at most each of the limits; a test may run while a minute ends. */
async function lastHour(): Promise<Record<string, number>> {
  const minutes = await readSendingTimes(redis, keys, Number((await redis.time())[0]) * 1000);
  expect(minutes).toHaveLength(60);
  const sums = SENDING_TIMES_MS.map((limit, i) => [limit, minutes.reduce((sum, counts) => sum + (counts[i] ?? 0), 0)]);
  return Object.fromEntries(sums.filter(([, sum]) => sum !== 0)) as Record<string, number>;
}

describe('the times of dispatchers', () => {
  it('are counted by the smallest limit that they do not exceed, those of all dispatchers together', async () => {
    const [one, other] = [new SendingTimes(redis, keys), new SendingTimes(redis, keys)];
    for (const ms of [0, 1, 1.2, 1.5, 3, 60_000, 60_001, 9e9]) one.observe(ms);
    other.observe(2.5);
    await one.add();
    await other.add();
    expect(await lastHour()).toEqual({ 1: 2, 1.5: 2, 3: 2, 60000: 1, Infinity: 2 });
    expect(await redis.pttl(keys.sendingTimes)).toBeGreaterThan(3_600_000);
  });

  it('are added once', async () => {
    const times = new SendingTimes(redis, keys);
    times.observe(5);
    await times.add();
    await times.add();
    expect(await lastHour()).toEqual({ 5: 1 });
  });

  it('are added by the next call if Redis refuses one', async () => {
    const times = new SendingTimes(redis, keys);
    await redis.set(keys.sendingTimes, 'not a hash');
    times.observe(5);
    await expect(times.add()).rejects.toThrow();
    await redis.del(keys.sendingTimes);
    times.observe(5);
    await times.add();
    expect(await lastHour()).toEqual({ 5: 2 });
  });
});
