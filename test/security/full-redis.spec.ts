/** Redis fills up, by one API key and by a foreign program: only new messages are refused, and it recovers by itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LuaCommands, connectRedis, type NoArgs, type Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { startApp, startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { Api, type Answer, type MessageView, type ProblemView } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';
import { quiet } from '../support/servers.js';
import { KeyRing } from './support/gateway.js';

const MAXMEMORY = 64 * 1_048_576;
const STORAGE_FULL = 'urn:cloud-connector:problem:storage-full';
const SHARDS = 4;
const FINISHED_BYTES = 65_536;
const LARGE = 'x'.repeat(200_000);
const IDLE = [1, 2, 3, 4].map((i) => `idle-${i}`);

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-full-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const greedyKey = ring.add({ id: 'greedy', scopes: [...SCOPES] });
const modestKey = ring.add({ id: 'modest', scopes: [...SCOPES] });
const keys = new RegistryKeys('cc');
const env = {
  API_KEYS_FILE: ring.path,
  SHARD_COUNT: `${SHARDS}`,
  SHARD_FINISHED_BYTES: `${FINISHED_BYTES}`,
  // Long enough that a slow machine does not lose a lease; renewed at every quarter of it.
  LEASE_TIME: '12s',
  LOG_LEVEL: 'warn',
  EVENT_SETTLE: '0s',
  // Requests are counted in Redis, as in production, and the limits are too high to refuse any.
  KEY_RATE_LIMIT: '100000',
  ADDRESS_RATE_LIMIT: '100000',
};
let stack: Awaited<ReturnType<typeof startStack>>;
let redis: Redis;
let greedy: Api;
let modest: Api;
const online: TestClient[] = [];

beforeAll(async () => {
  stack = await startStack({ dir, env });
  redis = connectRedis(stack.redis.url, { name: 'foreign', whenAway: 'wait' }, quiet);
  await redis.config('SET', 'maxmemory', MAXMEMORY);
  greedy = new Api(stack.gateway.url, greedyKey);
  modest = new Api(stack.gateway.url, modestKey);
  for (const id of IDLE) {
    const client = await TestClient.connect(stack.mosquitto.url, id);
    await client.shakeHands();
    await modest.untilConnection(id, ({ state }) => state === 'online');
    await client.sayGoodbye();
    await modest.untilConnection(id, ({ state }) => state === 'offline');
  }
});

afterAll(async () => {
  await Promise.all(online.map((client) => client.mqtt.endAsync()));
  await redis.quit();
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function used(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/** Writes as another program that shares the Redis does, until so many bytes are used. */
async function fillForeign(bytes: number): Promise<void> {
  for (let i = 0; i < 2000 && (await used()) < bytes; i++) {
    const size = bytes - (await used()) > 2_000_000 ? 1_000_000 : 20_000;
    await redis.set(`foreign:${i}`, 'x'.repeat(size));
  }
}

/** Sends a batch of large messages. @returns the status of each */
async function sendLarge(api: Api): Promise<number[]> {
  const messages = IDLE.map((client_id) => ({ client_id, directive: 'test:full', payload: LARGE }));
  const { body } = await api.call<{ results: { status: number }[] }>('POST', '/v1/messages', { messages });
  return body.results.map(({ status }) => status);
}

/** Sends large messages until `isFull`, at a gateway without budgets. */
async function fillByKey(api: Api, isFull: (statuses: number[]) => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) if (await isFull(await sendLarge(api))) return;
  throw new Error('one key did not fill Redis');
}

/** Lets all unfinished messages expire. */
const expireAll = new LuaCommands('spec/src/commands').fromText<{ expiry: string }, NoArgs, number>(
  'expire-all',
  `#!lua flags=allow-oom
-- KEYS expiry
for _, id in ipairs(redis.call('ZRANGE', KEYS.expiry, 0, -1)) do redis.call('ZADD', KEYS.expiry, 1, id) end
return 0`,
);

/** Lets Redis reach its `maxmemory`. @returns it */
async function leaveNoRoom(): Promise<number> {
  await tighten();
  await untilRefused();
  return untilFull();
}

async function tighten(): Promise<number> {
  const maxmemory = Math.floor((await used()) / 1.02);
  await redis.config('SET', 'maxmemory', maxmemory);
  return maxmemory;
}

/** Lets Redis be at its `maxmemory`, however much has become free since: buffers of connections shrink at any time. @returns it */
function untilFull(): Promise<number> {
  return waitUntil(async () => {
    const maxmemory = await tighten();
    await expect(redis.set('one-more', 'x')).rejects.toThrow('OOM');
    return maxmemory;
  });
}

/** Waits until the owners of the shards have set this limit for the bytes of events. */
async function untilEventsMayTake(bytes: number): Promise<void> {
  await waitUntil(async () => {
    for (let shard = 0; shard < SHARDS; shard++) {
      expect(await redis.hget(keys.log(shard), 'limit')).toBe(`${Math.floor(bytes)}`);
    }
  });
}

async function emptyForeign(): Promise<void> {
  const found = await redis.keys('foreign:*');
  if (found.length > 0) await redis.del(...found);
}

function send(
  api: Api,
  clientId: string,
  payload: unknown = 'x',
  more: object = {},
): Promise<Answer<MessageView & ProblemView>> {
  return api.call('POST', `/v1/connections/${clientId}/messages`, { directive: 'test:full', payload, ...more });
}

async function comesOnline(id: string): Promise<TestClient> {
  const client = await TestClient.connect(stack.mosquitto.url, id);
  online.push(client);
  await client.shakeHands();
  await modest.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

async function cancels(messageId: string): Promise<void> {
  expect((await modest.call('DELETE', `/v1/messages/${messageId}`)).status).toBe(204);
}

/** Waits until the lease of each shard is renewed, while Redis has no room. @returns its `maxmemory` */
async function untilRenewed(): Promise<number> {
  for (let shard = 0; shard < SHARDS; shard++) {
    const owner = keys.owner({ kind: 'shard', index: shard });
    let left = await redis.pttl(owner);
    await waitUntil(async () => {
      const before = left;
      await tighten();
      left = await redis.pttl(owner);
      expect(left).toBeGreaterThan(before);
    });
  }
  return untilFull();
}

async function lostLeases(): Promise<number> {
  const text = await (await fetch(`${stack.ingester.url}/metrics`)).text();
  return [...text.matchAll(/^cloud_connector_lease_changes_total\{.*change="lost".*\} (\d+)/gm)]
    .map(([, count]) => Number(count))
    .reduce((sum, count) => sum + count, 0);
}

async function untilRefused(): Promise<void> {
  await waitUntil(async () => {
    const { status, body, headers } = await send(modest, 'idle-1');
    expect([status, body.type, headers.get('retry-after')]).toEqual([503, STORAGE_FULL, '10']);
  });
}

async function untilAccepted(clientId: string, more: object = {}): Promise<string> {
  return waitUntil(async () => {
    const { status, body } = await send(modest, clientId, 'x', more);
    expect(status).toBe(202);
    return body.message_id;
  });
}

it('finished messages of one key are bounded, with their Idempotency-Keys, and those of other keys are kept', async () => {
  const others = await untilAccepted('idle-1');
  await cancels(others);
  const finished: string[] = [];
  for (let n = 0; n < 400; n++) {
    const headers = { 'idempotency-key': `job-${n}` };
    const { status, body } = await greedy.send('idle-1', { directive: 'test:full' }, headers);
    expect(status).toBe(202);
    finished.push(body.message_id);
    expect((await greedy.call('DELETE', `/v1/messages/${body.message_id}`)).status).toBe(204);
  }
  const statusOf = async (id = ''): Promise<number> => (await modest.call('GET', `/v1/messages/${id}`)).status;
  await waitUntil(async () => {
    for (let shard = 0; shard < SHARDS; shard++) {
      expect(Number(await redis.zscore(keys.finishedBytes(shard), ''))).toBeLessThanOrEqual(FINISHED_BYTES);
    }
  });
  expect([await statusOf(finished[0]), await statusOf(finished.at(-1)), await statusOf(others)]).toEqual([
    404, 200, 200,
  ]);
  const answers = await redis.keys('*:idempotency:*');
  expect(answers.length).toBeGreaterThan(0);
  expect(answers.length).toBeLessThan(FINISHED_BYTES / 560);
  const again = await greedy.send('idle-1', { directive: 'test:full' }, { 'idempotency-key': 'job-399' });
  expect(again.body.message_id).toBe(finished.at(-1));
});

it('one key fills its part of Redis and no more; other keys send, and devices come online', async () => {
  // The budgets follow `maxmemory` within a second.
  await waitUntil(async () => expect(await sendLarge(greedy)).toEqual([429, 429, 429, 429]), {
    what: 'the key to be refused',
    everyMs: 50,
  });
  const { body } = await send(greedy, 'idle-1', LARGE);
  expect(body.type).toBe('urn:cloud-connector:problem:account-full');
  // In the two seconds until it is refused it can exceed its part.
  expect(await used()).toBeLessThan(0.85 * MAXMEMORY);
  expect((await send(modest, 'idle-1')).status).toBe(202);
  await comesOnline('device-beside-greedy');
});

it('above MEMORY_HIGH_WATER new messages are refused, and everything else works', async () => {
  const held = await untilAccepted('idle-1');
  const toDeliver = await untilAccepted('idle-2');
  await fillForeign(0.9 * MAXMEMORY);
  await untilRefused();
  const item = { client_id: 'idle-1', directive: 'test:full' };
  const { body } = await modest.call<{ results: object[] }>('POST', '/v1/messages', { messages: [item] });
  expect(body.results).toMatchObject([{ status: 503, problem: { type: STORAGE_FULL, retry_after: 10 } }]);
  await cancels(held);
  await comesOnline('idle-2');
  await modest.untilStatus(toDeliver, 'sent');
  await emptyForeign();
  await untilAccepted('idle-1');
});

it('at maxmemory devices come online and go offline, leases are kept, messages are cancelled and delivered, and everything recovers', async () => {
  const before = await lostLeases();
  const held = await untilAccepted('idle-3');
  const waits = await untilAccepted('idle-4', { response_timeout_seconds: 1 });
  await untilEventsMayTake(MAXMEMORY / 10 / SHARDS);
  await fillForeign(0.9 * MAXMEMORY);
  const full = await leaveNoRoom();
  const device = await comesOnline('device-in-a-full-redis');
  await cancels(held);
  device.vanish();
  await modest.untilConnection(device.id, ({ state }) => state === 'offline');
  await untilEventsMayTake(Math.floor(full / 10 / SHARDS) / 4);
  await untilFull();
  const maxmemory = await untilRenewed();
  expect(await lostLeases()).toBe(before);
  // What is delivered frees memory.
  const four = await comesOnline('idle-4');
  await modest.untilStatus(waits, 'unanswered');
  await emptyForeign();
  await untilAccepted('idle-1');
  expect(four.distinct.filter(({ message_id }) => message_id === waits)).toHaveLength(1);
  await untilEventsMayTake(maxmemory / 10 / SHARDS);
});

it('the same works if one key without budgets fills Redis to MEMORY_HIGH_WATER and to maxmemory, until its messages expire', async () => {
  await redis.config('SET', 'maxmemory', MAXMEMORY);
  const before = await lostLeases();
  const most = '1000000000';
  const budgets = { OUTBOX_BYTES: most, SHARD_OUTBOX_BYTES: most, ACCOUNT_OUTBOX_BYTES: most, MEMORY_HIGH_WATER: most };
  const own = { REDIS_URL: stack.redis.url, ...budgets };
  const gateway = await startApp('api-gateway', { dir, name: 'gateway-without-budgets', env: { ...env, ...own } });
  const unbounded = new Api(gateway.url, greedyKey);
  const [first, second] = [await untilAccepted('idle-1'), await untilAccepted('idle-3')];

  // Well above the mark of 0.85: messages of the test before are still being removed.
  await fillByKey(unbounded, async () => (await used()) > 0.93 * MAXMEMORY);
  await untilRefused();
  await cancels(first);
  const device = await comesOnline('device-above-the-mark');

  await fillByKey(unbounded, (statuses) => statuses.every((status) => status === 503));
  await leaveNoRoom();
  await cancels(second);
  await comesOnline('device-beside-a-full-key');
  device.vanish();
  await modest.untilConnection(device.id, ({ state }) => state === 'offline');
  await untilFull();
  await untilRenewed();
  expect(await lostLeases()).toBe(before);

  for (let shard = 0; shard < SHARDS; shard++) await expireAll.run(redis, { expiry: keys.expiry(shard) }, {});
  await modest.untilStatus(await untilAccepted('device-beside-a-full-key'), 'sent');
});
