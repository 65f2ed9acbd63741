import { jest } from '@jest/globals';
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import type { Grant, LogLimits } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { EventRetention } from './event-retention.js';

const DAY_MS = 86_400_000;
const SHARD: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };

let redis: Redis;
let keys: RegistryKeys;
let limits: LogLimits;
let passedMs: number;
let retention: EventRetention;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`retention${keySpaces++}`);
  limits = { bytes: 1_000_000, shardCount: 1, retentionMs: DAY_MS };
  passedMs = 0;
  const started = performance.now();
  jest.spyOn(performance, 'now').mockImplementation(() => started + passedMs);
  retention = new EventRetention({ grants: () => [SHARD] }, redis, keys, () => limits, quiet);
  expect(await isTrimmed()).toBe(true);
});

afterEach(() => jest.restoreAllMocks());

/** Runs a round. @returns whether it has trimmed the shard: each trim stores the limit */
async function isTrimmed(): Promise<boolean> {
  await redis.hdel(keys.log(0), 'limit');
  await retention.trim();
  return (await redis.hexists(keys.log(0), 'limit')) === 1;
}

/** An event that was appended some time ago. */
async function appendEvent(ageMs: number): Promise<void> {
  await redis.xadd(keys.events(0), `${Date.now() - ageMs}-0`, 'event', 'x');
}

it('a shard that has nothing to remove is trimmed once a minute', async () => {
  passedMs = 59_000;
  expect(await isTrimmed()).toBe(false);
  passedMs = 60_000;
  expect(await isTrimmed()).toBe(true);
  expect(await isTrimmed()).toBe(false);
});

it('a shard is trimmed at once when its limits change', async () => {
  limits = { ...limits, part: 4 };
  expect(await isTrimmed()).toBe(true);
  expect(await isTrimmed()).toBe(false);
});

it('a shard from which something was removed is trimmed again in the next round', async () => {
  await appendEvent(2 * DAY_MS);
  passedMs = 60_000;
  expect(await isTrimmed()).toBe(true);
  expect(await redis.xlen(keys.events(0))).toBe(0);
  expect(await isTrimmed()).toBe(true);
  expect(await isTrimmed()).toBe(false);
});

it('a shard is trimmed earlier if its oldest event becomes too old earlier', async () => {
  await appendEvent(DAY_MS - 30_000);
  passedMs = 60_000;
  expect(await isTrimmed()).toBe(true);
  passedMs += 25_000;
  expect(await isTrimmed()).toBe(false);
  passedMs += 5000;
  expect(await isTrimmed()).toBe(true);
});
