/** An uncaught error: the process releases its leases and exits with 1. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { readAppLog } from '../support/app-log.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-faults-'));
const THROWING = `process.on('SIGUSR2', () => { throw new Error('thrown by the test'); });
process.on('SIGWINCH', () => void Promise.reject(new Error('rejected by the test')));`;
let env: Record<string, string>;

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  const imported = `data:text/javascript,${encodeURIComponent(THROWING)}`;
  env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, SHARD_COUNT: '4', NODE_OPTIONS: `--import ${imported}` };
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it.each([
  { what: 'an exception', signal: 'SIGUSR2', message: 'thrown by the test' },
  { what: 'a rejection', signal: 'SIGWINCH', message: 'rejected by the test' },
] as const)(
  '$what that is not caught makes an ingester release its shards, log one fatal line and exit with 1',
  async ({ what, signal, message }) => {
    const ingester = await startApp('status-ingester', { dir, env, name: what.replace(' ', '-') });
    const shards = (change: string): unknown[] =>
      readAppLog(ingester.log)
        .filter((line) => line.message === change && 'shard' in line)
        .map(({ shard }) => shard);
    await waitUntil(() => expect(shards('acquired')).toHaveLength(4));
    process.kill(ingester.pid ?? 0, signal);
    expect(await ingester.ended).toBe(1);
    const fatal = readAppLog(ingester.log).filter(({ level }) => level === 'fatal');
    expect(fatal).toMatchObject([
      { message: 'an error that was not caught: stopping', err: { type: 'Error', message } },
    ]);
    expect(shards('released').sort()).toEqual([0, 1, 2, 3]);
  },
);
