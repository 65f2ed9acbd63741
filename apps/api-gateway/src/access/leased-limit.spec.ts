/** Several gateways with one limit, on a real Redis. A window of a minute does not end during a test. */
import { connectRedis, type Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { LeasedLimit } from './leased-limit.js';

let redis: Redis;
let counters = 0;
let counter: string;

withRedis((connection) => (redis = connection));

beforeEach(() => (counter = `limit${counters++}`));

function gateways(count: number, requests: number, windowMs = 60_000): LeasedLimit[] {
  return Array.from({ length: count }, () => new LeasedLimit(redis, 'key', counter, { requests, windowMs }, quiet));
}

/** Sends requests of one caller one after the other. @returns how many were admitted, and how many waited for Redis */
async function send(gateway: LeasedLimit, count: number, cost = 1): Promise<{ admitted: number; waited: number }> {
  let [admitted, waited] = [0, 0];
  for (let i = 0; i < count; i++) {
    const counted = gateway.count('caller', cost);
    if (counted instanceof Promise) waited++;
    // Each request comes in a turn of its own, as those of a server do.
    if ((await counted) === undefined) admitted++;
    await new Promise(setImmediate);
  }
  return { admitted, waited };
}

describe('LeasedLimit', () => {
  it.each([1, 2, 3, 5, 50, 1000])('admits %i requests together at three gateways, and no more', async (limit) => {
    const all = gateways(3, limit);
    const sent = await Promise.all(all.map((gateway) => send(gateway, limit + 5)));
    expect(sent.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(limit);
  });

  it('admits no more than the limit of requests that come at the same time and cost more or less', async () => {
    const all = gateways(4, 200);
    const costs = Array.from({ length: 400 }, (_, i) => 1 + (i % 7));
    const refusals = await Promise.all(costs.map(async (cost, i) => all[i % 4]?.count('caller', cost)));
    const admitted = costs.filter((_, i) => refusals[i] === undefined).reduce((sum, cost) => sum + cost, 0);
    expect(admitted).toBeLessThanOrEqual(200);
    // What a gateway has left is less than what its next request costs.
    expect(admitted).toBeGreaterThan(200 - 4 * 7);
  });

  it('lets few requests of a busy caller wait for Redis', async () => {
    const [gateway] = gateways(1, 100_000) as [LeasedLimit];
    const { admitted, waited } = await send(gateway, 2000);
    expect(admitted).toBe(2000);
    expect(waited).toBeLessThan(20);
  });

  it('leaves others what a gateway does not need', async () => {
    const [idle, busy] = gateways(2, 100) as [LeasedLimit, LeasedLimit];
    await send(idle, 1);
    const { admitted } = await send(busy, 200);
    // The first one keeps the lease of its first request.
    expect(admitted).toBeGreaterThanOrEqual(100 - 1 - 8);
    expect((await send(idle, 200)).admitted).toBe(99 - admitted);
  });

  it('counts a request as the whole limit if it costs as much', async () => {
    const [one, other] = gateways(2, 50) as [LeasedLimit, LeasedLimit];
    expect(await send(one, 1, 1)).toMatchObject({ admitted: 1 });
    expect(await send(one, 1, 49)).toMatchObject({ admitted: 1 });
    expect(await send(other, 3)).toMatchObject({ admitted: 0 });
  });

  it('refuses from memory, with the time until the window ends', async () => {
    const [gateway] = gateways(1, 3) as [LeasedLimit];
    await send(gateway, 4);
    const refusal = gateway.count('caller', 1);
    expect(refusal).toMatchObject({ kind: 'rate-limited', more: { retryAfterSeconds: 60 } });
    await redis.del(`${counter}:caller`);
    expect((await send(gateway, 3)).admitted).toBe(0);
  });

  it('counts callers apart', async () => {
    const [gateway] = gateways(1, 1) as [LeasedLimit];
    await send(gateway, 2);
    expect(await gateway.count('another', 1)).toBeUndefined();
  });

  it('lets a counter expire with its window', async () => {
    const [gateway] = gateways(1, 5, 60_000) as [LeasedLimit];
    await send(gateway, 1);
    const ms = await redis.pttl(`${counter}:caller`);
    expect(ms).toBeGreaterThan(0);
    expect(ms).toBeLessThanOrEqual(60_000);
  });

  it('lets each gateway admit the limit by itself while Redis is away', async () => {
    // Nothing listens on this port.
    const away = connectRedis('redis://127.0.0.1:1', { name: 'spec', whenAway: 'fail' }, quiet);
    const limit = { requests: 20, windowMs: 60_000 };
    const all = [1, 2].map(() => new LeasedLimit(away, 'key', counter, limit, quiet));
    const sent = await Promise.all(all.map((gateway) => send(gateway, 30)));
    expect(sent).toEqual([
      { admitted: 20, waited: 1 },
      { admitted: 20, waited: 1 },
    ]);
    away.disconnect();
  });
});
