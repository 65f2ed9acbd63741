/** Connections through Sentinels to a master that fails over. */
import { Redis as RedisServer } from 'ioredis';
import { eventually, freePort, gate, quiet, startSentinels, type Sentinels } from '../../../test/support/servers.js';
import { createLogger } from './logger.js';
import { LuaCommands } from './lua-commands.js';
import { assertRedisRequirements } from './redis-requirements.js';
import { RedisRestartDetector } from './redis-restart-detector.js';
import { isRedisError } from './redis-error.js';
import { closeRedis, connectRedis, redisTrouble, type Redis } from './redis.js';

const increase = new LuaCommands('spec/src/commands').fromText<{ key: string }, { by: number }, number>(
  'increase',
  "-- KEYS key\n-- ARGV by\nreturn redis.call('INCRBY', KEYS.key, ARGV.by)",
);

let sentinels: Sentinels;
const open: Redis[] = [];

function connect(whenAway: 'wait' | 'fail'): Redis {
  const redis = connectRedis(sentinels.url, { name: `spec-${whenAway}`, whenAway }, quiet);
  open.push(redis);
  return redis;
}

beforeAll(async () => {
  sentinels = await startSentinels();
}, 30_000);

afterAll(async () => {
  await Promise.all(open.map(closeRedis));
  await sentinels.stop();
});

it('prints nothing by itself while a Sentinel is down, and warns of it', async () => {
  const printed = (['error', 'warn', 'log'] as const).map((name) => jest.spyOn(console, name).mockImplementation());
  const lines: string[] = [];
  const logger = createLogger('spec', 'warn', { write: (line) => lines.push(line) });
  const url = sentinels.url.replace('//', `//127.0.0.1:${await freePort()},`);
  const redis = connectRedis(url, { name: 'spec-sentinel-down', whenAway: 'wait' }, logger);
  open.push(redis);
  await redis.ping();
  // Each connection asks all Sentinels to report a failover; the one that is down is asked again and again.
  const refused = jest.spyOn(RedisServer.prototype, 'silentEmit' as never);
  await eventually(() => {
    const errors = (refused.mock.calls as unknown[][]).filter(([event]) => event === 'error');
    expect(errors.length).toBeGreaterThan(2);
  });
  for (const spy of printed) expect(spy).not.toHaveBeenCalled();
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { redis: 'spec-sentinel-down', message: 'sentinel connection error', err: { code: 'ECONNREFUSED' } },
  ]);
  jest.restoreAllMocks();
}, 30_000);

it('finds the master, and the new one after the old one was killed', async () => {
  const [wait, fail, blocked, subscriber] = [connect('wait'), connect('fail'), connect('wait'), connect('wait')];
  await assertRedisRequirements(wait);
  await eventually(() => expect(fail.status).toBe('ready'));
  const runs = new RedisRestartDetector(fail);
  expect(await runs.changed()).toBe(false);
  const heard = gate<string>();
  subscriber.on('message', (_channel: string, text: string) => heard.open(text));
  await subscriber.subscribe('spec');
  const popped = blocked.blpop('spec:list', 0);

  expect(await increase.run(wait, { key: 'spec:sum' }, { by: 1 })).toBe(1);
  // What the replica has confirmed survives; what it has not may be lost.
  expect(await wait.wait(1, 5000)).toBe(1);
  await sentinels.master.kill();

  const refused = await increase.run(fail, { key: 'spec:other' }, { by: 1 }).catch((error: unknown) => error);
  expect(isRedisError(refused)).toBe(true);
  expect(await redisTrouble(fail)).toBeDefined();
  expect(await increase.run(wait, { key: 'spec:sum' }, { by: 1 })).toBe(2);
  await eventually(async () => expect(await redisTrouble(fail)).toBeUndefined());
  expect(await increase.run(fail, { key: 'spec:sum' }, { by: 1 })).toBe(3);
  expect(await runs.changed()).toBe(true);
  expect(await wait.info('server')).toContain(`tcp_port:${sentinels.replica.port}`);

  // Blocking reads and subscriptions have followed.
  await wait.rpush('spec:list', 'pushed');
  expect(await popped).toEqual(['spec:list', 'pushed']);
  await eventually(async () => expect(await wait.publish('spec', 'told')).toBe(1));
  expect(await heard.passed).toBe('told');
}, 30_000);
