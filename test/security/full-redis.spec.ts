/** Redis fills up, by one API key and by a foreign program: only new messages are refused, and it recovers by itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis, type Redis } from '@app/platform';
import { startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { Api, type Answer, type MessageView, type ProblemView } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';
import { quiet } from '../support/servers.js';
import { KeyRing } from './support/gateway.js';

const MAXMEMORY = 64 * 1_048_576;
const STORAGE_FULL = 'urn:cloud-connector:problem:storage-full';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-full-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const greedyKey = ring.add({ id: 'greedy', scopes: [...SCOPES] });
const modestKey = ring.add({ id: 'modest', scopes: [...SCOPES] });
let stack: Awaited<ReturnType<typeof startStack>>;
let redis: Redis;
let greedy: Api;
let modest: Api;
const online: TestClient[] = [];

beforeAll(async () => {
  const env = { API_KEYS_FILE: ring.path, SHARD_COUNT: '4', LEASE_TIME: '2s', LOG_LEVEL: 'warn', EVENT_SETTLE: '0s' };
  stack = await startStack({ dir, env });
  redis = connectRedis(stack.redis.url, { name: 'foreign', whenAway: 'wait' }, quiet);
  await redis.config('SET', 'maxmemory', MAXMEMORY);
  greedy = new Api(stack.gateway.url, greedyKey);
  modest = new Api(stack.gateway.url, modestKey);
  for (const id of ['idle-1', 'idle-2', 'idle-3', 'idle-4']) {
    const client = await TestClient.connect(stack.mosquitto.url, id);
    await client.shakeHands();
    await modest.untilConnection(id, ({ state }) => state === 'online');
    await client.sayGoodbye();
    await modest.untilConnection(id, ({ state }) => state === 'offline');
  }
}, 60_000);

afterAll(async () => {
  await Promise.all(online.map((client) => client.mqtt.endAsync()));
  await redis.quit();
  await stopAll();
  rmSync(dir, { recursive: true });
}, 30_000);

async function used(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/** As a foreign program that shares the Redis: writes until so many bytes are used. */
async function fillForeign(bytes: number): Promise<void> {
  for (let i = 0; i < 2000 && (await used()) < bytes; i++) {
    const size = bytes - (await used()) > 2_000_000 ? 1_000_000 : 20_000;
    await redis.set(`foreign:${i}`, 'x'.repeat(size));
  }
}

async function emptyForeign(): Promise<void> {
  const found = await redis.keys('foreign:*');
  if (found.length > 0) await redis.del(...found);
}

function send(api: Api, clientId: string, payload: unknown = 'x'): Promise<Answer<MessageView & ProblemView>> {
  return api.call('POST', `/v1/connections/${clientId}/messages`, { directive: 'test:full', payload });
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

async function untilAccepted(clientId: string): Promise<string> {
  return waitUntil(async () => {
    const { status, body } = await send(modest, clientId);
    expect(status).toBe(202);
    return body.message_id;
  });
}

it('one key fills its part and no more; others go on, and devices come online', async () => {
  // The budgets follow `maxmemory` within a second.
  const payload = 'x'.repeat(200_000);
  const batch = Array.from({ length: 4 }, (_, i) => ({ client_id: `idle-${i + 1}`, directive: 'test:full', payload }));
  await waitUntil(
    async () => {
      const { body } = await greedy.call<{ results: { status: number }[] }>('POST', '/v1/messages', {
        messages: batch,
      });
      expect(body.results.map(({ status }) => status)).toEqual([429, 429, 429, 429]);
    },
    { what: 'the key to be refused', everyMs: 50 },
  );
  const { body } = await send(greedy, 'idle-1', payload);
  expect(body.type).toBe('urn:cloud-connector:problem:account-full');
  // Two seconds of what it may send faster than the sums are made.
  expect(await used()).toBeLessThan(0.85 * MAXMEMORY);
  expect((await send(modest, 'idle-1')).status).toBe(202);
  await comesOnline('device-beside-greedy');
}, 40_000);

it('above the mark new messages are refused, and everything else goes on', async () => {
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
}, 40_000);

it('at its maxmemory devices still come and go, leases hold, messages are cancelled, and it recovers by itself', async () => {
  const before = await lostLeases();
  const held = await untilAccepted('idle-3');
  const waits = await untilAccepted('idle-4');
  await fillForeign(0.9 * MAXMEMORY);
  // Redis has reached its limit, and does not come below it when the buffers of connections shrink.
  await redis.config('SET', 'maxmemory', Math.floor((await used()) / 1.02));
  await untilRefused();
  await expect(redis.set('one-more', 'x')).rejects.toThrow('OOM');
  const device = await comesOnline('device-in-a-full-redis');
  const four = await comesOnline('idle-4');
  await cancels(held);
  device.vanish();
  await modest.untilConnection(device.id, ({ state }) => state === 'offline');
  expect(await lostLeases()).toBe(before);
  await emptyForeign();
  await untilAccepted('idle-1');
  await modest.untilStatus(waits, 'sent');
  expect(four.received.filter(({ message_id }) => message_id === waits)).toHaveLength(1);
}, 60_000);
