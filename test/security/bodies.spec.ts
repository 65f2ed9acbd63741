/** Attempts to exhaust the memory of a gateway with large bodies at the same time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis } from '@app/platform';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { quiet } from '../support/servers.js';
import { KeyRing, startGateway, type RunningGateway } from './support/gateway.js';

const AT_ONCE = 32;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-bodies-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const senders = Array.from({ length: 4 }, (_, i) => ring.add({ id: `sender-${i}`, scopes: ['messages:write'] }));
let gateway: RunningGateway;

beforeAll(async () => {
  const { url } = await startRedis({ dir });
  gateway = await startGateway(dir, 'gateway', {
    REDIS_URL: url,
    API_KEYS_FILE: ring.path,
    KEY_RATE_LIMIT: '0',
    ADDRESS_RATE_LIMIT: '0',
    NODE_OPTIONS: '--max-old-space-size=256',
  });
  const redis = connectRedis(url, { name: 'spec', whenAway: 'wait' }, quiet);
  const keys = new RegistryKeys('cc');
  for (let i = 0; i < 8; i++) {
    const shard = shardOf(`large-${i}`, 32);
    await redis.hset(keys.connections(shard), `large-${i}`, '{}');
    await redis.zadd(keys.offline(shard, 'host', 'goodbye'), 0, `large-${i}`);
  }
  await redis.quit();
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it.each([
  ['one key', 1],
  ['several keys', 4],
])(`a gateway with a small heap survives ${AT_ONCE} batches of 8 MB at the same time from %s`, async (_, keyCount) => {
  const payload = 'x'.repeat(1_040_000);
  const messages = Array.from({ length: 8 }, (_, i) => ({ client_id: `large-${i}`, directive: 'a', payload }));
  const body = JSON.stringify({ messages });
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, i) => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${senders[i % keyCount]}` };
      const response = await fetch(`${gateway.url}/v1/messages`, { method: 'POST', headers, body });
      await response.arrayBuffer();
      return { status: response.status, retryAfter: response.headers.get('retry-after') };
    }),
  );
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => ![200, 429, 503].includes(status))).toEqual([]);
  expect(statuses).toContain(200);
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.length).toBeGreaterThan(0);
  for (const { retryAfter } of refused) expect(retryAfter).toBe('1');
  expect(gateway.running).toBe(true);
  await waitUntil(async () => {
    const metrics = await (await fetch(`${gateway.management}/metrics`)).text();
    expect(metrics).toMatch(/^cloud_connector_body_bytes_in_process 0$/m);
  });
});
