/** No app logs a password that Redis refuses. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { readAppLog } from '../support/app-log.js';

const PASSWORD = 'a-password-of-the-spec';
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-secrets-'));

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it('no app logs its Redis password when the password has been changed in Redis', async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  const server = new Redis(redis.port, '127.0.0.1');
  await server.config('SET', 'requirepass', PASSWORD);
  const env = { REDIS_URL: redis.url.replace('//', `//:${PASSWORD}@`), MQTT_URL: mosquitto.url };
  const names = ['api-gateway', 'status-ingester', 'dispatcher'] as const;
  const apps = await Promise.all(names.map((name) => startApp(name, { dir, env })));

  await server.config('SET', 'requirepass', 'another');
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal');
  // The last two come from the connections that BullMQ makes for its workers.
  const expected = ['redis connection error', 'maintenance worker error', 'worker error'];
  await waitUntil(() => {
    for (const [i, { log }] of apps.entries()) {
      const refused = readAppLog(log).filter(({ err }) => err?.message.includes('WRONGPASS'));
      expect(refused.map(({ message }) => message)).toContain(expected[i]);
    }
  });
  server.disconnect();
  for (const { log } of apps) expect(readFileSync(log, 'utf8')).not.toContain(PASSWORD);
});
