/** Connections through Sentinels to a master that fails over. */
import { Redis as RedisServer } from 'ioredis';
import { eventually, freePort, gate, quiet, startSentinels, type Sentinels } from '../../../test/support/servers.js';
import { createLogger } from './logger.js';
import { LuaCommands } from './lua-commands.js';
import { assertRedisRequirements } from './redis-requirements.js';
import { RedisRestartDetector } from './redis-restart-detector.js';
import { isRedisError } from './redis-error.js';
import { redisOutage } from './redis-outage.js';
import { closeRedis, connectRedis, type Redis } from './redis.js';

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
});

afterAll(async () => {
  await Promise.all(open.map(closeRedis));
  await sentinels.stop();
});

it('a connection warns in the log while a Sentinel is down, and ioredis prints nothing', async () => {
  const printed = (['error', 'warn', 'log'] as const).map((name) => jest.spyOn(console, name).mockImplementation());
  const lines: string[] = [];
  const logger = createLogger('spec', 'warn', { write: (line) => lines.push(line) });
  const url = sentinels.url.replace('//', `//127.0.0.1:${await freePort()},`);
  const redis = connectRedis(url, { name: 'spec-sentinel-down', whenAway: 'wait' }, logger);
  open.push(redis);
  await redis.ping();
  // Each connection subscribes to failovers at all Sentinels, and retries the one that is down.
  const refused = jest.spyOn(RedisServer.prototype, 'silentEmit' as never);
  await eventually('the Sentinel that is down has been tried three times', () => {
    const errors = (refused.mock.calls as unknown[][]).filter(([event]) => event === 'error');
    expect(errors.length).toBeGreaterThan(2);
  });
  for (const spy of printed) expect(spy).not.toHaveBeenCalled();
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { redis: 'spec-sentinel-down', message: 'sentinel connection error', err: { code: 'ECONNREFUSED' } },
  ]);
  jest.restoreAllMocks();
});

it('connections through Sentinels find the master, and the new master after the old one was killed', async () => {
  const [wait, fail, blocked, subscriber] = [connect('wait'), connect('fail'), connect('wait'), connect('wait')];
  await assertRedisRequirements(wait);
  await eventually('the connection is ready', () => expect(fail.status).toBe('ready'));
  const restarts = new RedisRestartDetector(fail);
  expect(await restarts.changed()).toBe(false);
  const received = gate<string>();
  subscriber.on('message', (_channel: string, text: string) => received.open(text));
  await subscriber.subscribe('spec');
  const popped = blocked.blpop('spec:list', 0);

  expect(await increase.run(wait, { key: 'spec:sum' }, { by: 1 })).toBe(1);
  // Writes that the replica has not confirmed may be lost.
  expect(await wait.wait(1, 5000)).toBe(1);
  await sentinels.master.kill();

  const refused = await increase.run(fail, { key: 'spec:other' }, { by: 1 }).catch((error: unknown) => error);
  expect(isRedisError(refused)).toBe(true);
  expect(await redisOutage(fail)).toBeDefined();
  expect(await increase.run(wait, { key: 'spec:sum' }, { by: 1 })).toBe(2);
  await eventually('the connection leads to the new master', async () =>
    expect(await redisOutage(fail)).toBeUndefined(),
  );
  expect(await increase.run(fail, { key: 'spec:sum' }, { by: 1 })).toBe(3);
  expect(await restarts.changed()).toBe(true);
  expect(await wait.info('server')).toContain(`tcp_port:${sentinels.replica.port}`);

  // Blocking reads and subscriptions lead to the new master as well.
  await wait.rpush('spec:list', 'pushed');
  expect(await popped).toEqual(['spec:list', 'pushed']);
  await eventually('the subscriber is subscribed at the new master', async () =>
    expect(await wait.publish('spec', 'a message')).toBe(1),
  );
  expect(await received.passed).toBe('a message');
});
