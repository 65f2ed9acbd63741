import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Redis as RedisServer } from 'ioredis';
import { eventually, freePort, quiet, startRedis, type Server } from '../../../test/support/servers.js';
import { createLogger } from './logger.js';
import { addressText } from './redis-fault.js';
import { redisOutage } from './redis-outage.js';
import { assertRedisRequirements } from './redis-requirements.js';
import { closeRedis, connectRedis, type Redis } from './redis.js';
import { parseRedisUrl } from './redis-url.js';

describe('redisOutage', () => {
  let server: Server;
  let redis: Redis;
  let other: Redis;

  beforeAll(async () => {
    server = await startRedis();
    redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
    other = connectRedis(server.url, { name: 'spec-other', whenAway: 'wait' }, quiet);
    await Promise.all([redis.ping(), other.ping()]);
  });

  afterAll(async () => {
    await Promise.all([redis.quit(), other.quit()]);
    await server.stop();
  });

  it('reports nothing if Redis replies', async () => {
    expect(await redisOutage(redis)).toBeUndefined();
  });

  it('does not wait for a Redis that delays all commands', async () => {
    await other.client('PAUSE', 2500, 'ALL');
    expect(await redisOutage(redis)).toBe(`Redis at ${server.url} cannot be reached: no answer within a second`);
    await other.ping();
    expect(await redisOutage(redis)).toBeUndefined();
  });

  it('reports a `fail` connection that gets no reply', async () => {
    const quick = connectRedis(server.url, { name: 'spec-quick', whenAway: 'fail' }, quiet);
    await once(quick, 'ready');
    await other.client('PAUSE', 1500, 'ALL');
    expect(await redisOutage(quick)).toBe(`Redis at ${server.url} cannot be reached: Command timed out`);
    await other.ping();
    quick.disconnect();
  });

  it('reports a connection that is not ready, and does not wait for it', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const url = `redis://127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const away = connectRedis(url, { name: 'spec-away', whenAway: 'wait' }, quiet);
    await eventually('the server has accepted the connection', () => expect(sockets).toHaveLength(1));
    expect(await redisOutage(away)).toBe(`Redis at ${url} cannot be reached: no answer`);
    away.disconnect();
    for (const socket of sockets) socket.destroy();
    mute.close();
  });

  it('names address and cause of a Redis that is away, without user name and password', async () => {
    const port = await freePort();
    const url = `redis://some-user:some-password@127.0.0.1:${port}/3`;
    const away = connectRedis(url, { name: 'spec-refused', whenAway: 'wait' }, quiet);
    await once(away, 'error');
    expect(await redisOutage(away)).toBe(
      `Redis at redis://127.0.0.1:${port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
    away.disconnect();
  });

  it('names address and cause of a connection that has ended', async () => {
    const stopped = await startRedis();
    const lost = connectRedis(stopped.url, { name: 'spec-lost', whenAway: 'wait' }, quiet);
    await lost.ping();
    const closed = once(lost, 'close');
    await stopped.stop();
    await closed;
    expect(await redisOutage(lost)).toMatch(`Redis at ${stopped.url} cannot be reached: `);
    lost.disconnect();
  });

  it.each([
    ['rediss://u:p@cache:6380/2', 'rediss://cache:6380'],
    ['redis+cluster://u:p@a:1,[::1]:2', 'redis+cluster://a:1,[::1]:2'],
    ['redis+sentinel://u:p@a:1,b:2/main?sentinelPassword=p', 'redis+sentinel://a:1,b:2/main'],
  ])('names %s as %s', (url, text) => {
    expect(addressText(parseRedisUrl(url))).toBe(text);
  });

  it('reports the error code with which Redis refuses a command', async () => {
    const barred = connectRedis(server.url, { name: 'spec-barred', whenAway: 'wait' }, quiet);
    await barred.ping();
    await other.acl('SETUSER', 'default', '-ping');
    expect(await redisOutage(barred)).toBe(`Redis at ${server.url} refuses: NOPERM`);
    await other.acl('SETUSER', 'default', '+ping');
    barred.disconnect();
  });
});

describe('a Redis connection', () => {
  it('logs a cause that lasts once', async () => {
    const lines: unknown[] = [];
    const logger = createLogger('spec', 'warn', { write: (line) => void lines.push(JSON.parse(line)) });
    const away = connectRedis(`redis://127.0.0.1:${await freePort()}`, { name: 'spec-away', whenAway: 'wait' }, logger);
    for (let attempt = 0; attempt < 3; attempt++) await new Promise<void>((resolve) => away.once('close', resolve));
    expect(lines).toEqual([expect.objectContaining({ message: 'redis connection error', redis: 'spec-away' })]);
    away.disconnect();
  });

  it.each(['redis://someone:wrong@', 'redis://'])(
    'with credentials that Redis refuses names the setting: %s',
    async (who) => {
      const server = await startRedis();
      const owner = connectRedis(server.url, { name: 'spec-owner', whenAway: 'wait' }, quiet);
      await owner.config('SET', 'requirepass', 'secret');
      const redis = connectRedis(server.url.replace('redis://', who), { name: 'spec', whenAway: 'wait' }, quiet);
      await expect(assertRedisRequirements(redis)).rejects.toThrow(
        /^Redis refuses the user or the password in REDIS_URL: /,
      );
      for (const one of [owner, redis]) one.disconnect();
      await server.stop();
    },
  );

  it('warns once of a right that its user lacks, also if nobody looks at the failure', async () => {
    const server = await startRedis();
    const lines: unknown[] = [];
    const logger = createLogger('spec', 'warn', { write: (line) => void lines.push(JSON.parse(line)) });
    const redis = connectRedis(server.url, { name: 'spec-rights', whenAway: 'wait' }, logger);
    await redis.acl('SETUSER', 'default', '-client|unblock', '-echo');
    for (let i = 0; i < 3; i++) {
      await Promise.allSettled([redis.client('UNBLOCK', 1), redis.multi().echo('a').exec()]);
    }
    expect(lines).toEqual([
      expect.objectContaining({ level: 'warn', redis: 'spec-rights', right: '+client|unblock' }),
      expect.objectContaining({ level: 'warn', redis: 'spec-rights', right: '+echo' }),
    ]);
    redis.disconnect();
    await server.stop();
  });

  it('ends at closeRedis even if Redis never replies to QUIT', async () => {
    const server = await startRedis();
    const redis = connectRedis(server.url, { name: 'spec-silent', whenAway: 'wait' }, quiet);
    await redis.ping();
    jest.spyOn(redis, 'quit').mockReturnValue(new Promise<never>(() => undefined));
    const ended = once(redis, 'end');
    await closeRedis(redis);
    await ended;
    await server.stop();
  });

  it('sets no timer at disconnect if it is waiting for its next attempt to connect', async () => {
    const server = await startRedis();
    const redis = connectRedis(server.url, { name: 'spec-closed', whenAway: 'wait' }, quiet);
    await redis.ping();
    const reconnecting = once(redis, 'reconnecting');
    await server.stop();
    await reconnecting;
    const timers = jest.spyOn(global, 'setTimeout');
    redis.disconnect();
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  it('sends all commands of one turn of the event loop in one write', async () => {
    const server = await startRedis();
    const redis = connectRedis(server.url, { name: 'spec-together', whenAway: 'wait' }, quiet);
    await redis.ping();
    const { stream } = redis as RedisServer;
    let writes = 0;
    for (const name of ['_write', '_writev'] as const) {
      const write = stream[name]?.bind(stream) as ((...args: unknown[]) => void) | undefined;
      Object.assign(stream, {
        [name]: (...args: unknown[]) => {
          writes++;
          write?.(...args);
        },
      });
    }
    const replies: Promise<string>[] = [];
    for (let i = 0; i < 20; i++) process.nextTick(() => replies.push(redis.echo(`${i}`)));
    await turn();
    expect(await Promise.all(replies)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
    expect(writes).toBe(1);
    await redis.quit();
    await server.stop();
  });
});
