/** A stop right after a fault ends in order: a supervisor reads the exit code. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Proxy } from '../support/proxy.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-stops-'));
let redis: Awaited<ReturnType<typeof startRedis>>;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let proxy: Proxy;

beforeAll(async () => {
  [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  proxy = await Proxy.before(redis.port);
});

// Also if a test has failed.
beforeEach(() => proxy.heal());

afterAll(async () => {
  await stopAll();
  await proxy.stop();
  rmSync(dir, { recursive: true });
});

it.each(['api-gateway', 'status-ingester', 'dispatcher'] as const)(
  '%s that is stopped as soon as Redis can be reached again ends with 0',
  async (name) => {
    const env = { REDIS_URL: `redis://127.0.0.1:${proxy.port}`, MQTT_URL: mosquitto.url };
    const app = await startApp(name, { dir, env });
    proxy.cut();
    await waitUntil(() => expect(readFileSync(app.log, 'utf8')).toContain('redis connection error'));
    proxy.heal();
    expect(await app.stop()).toBe(0);
  },
);
