import { once } from 'node:events';
import { ReplyError } from 'ioredis';
import { eventually, freePort, quiet, startRedis, type Server } from '../../../test/support/servers.js';
import { LuaCommands, type LuaCommand, type NoArgs } from './lua-commands.js';
import {
  RedisBusyError,
  RedisError,
  RedisForbiddenError,
  RedisFullError,
  RedisScriptError,
  RedisUnavailableError,
  asRedisError,
  isRedisError,
} from './redis-error.js';
import { connectRedis, type Redis } from './redis.js';

let server: Server;
let redis: Redis;
let other: Redis;
let opened: Redis[];

beforeEach(() => (opened = []));
afterEach(() => opened.forEach((one) => one.disconnect()));

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
  other = connectRedis(server.url, { name: 'spec-other', whenAway: 'wait' }, quiet);
  await Promise.all([redis.ping(), other.ping()]);
});

afterAll(async () => {
  redis.disconnect();
  other.disconnect();
  await server.stop();
});

function command(name: string, act: string): LuaCommand<{ key: string }, NoArgs, unknown> {
  return new LuaCommands('spec/src/commands').fromText(name, `-- KEYS key\n${act}`);
}

async function failureOf(command: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([command]);
  if (outcome.status === 'fulfilled') throw new Error('it did not fail');
  return outcome.reason;
}

function connectFast(url = server.url): Redis {
  const fast = connectRedis(url, { name: 'spec-fast', whenAway: 'fail' }, quiet);
  opened.push(fast);
  return fast;
}

describe('the error of a Redis command that fails', () => {
  it('is a RedisUnavailableError if there is no connection', async () => {
    const away = connectFast(`redis://127.0.0.1:${await freePort()}`);
    const error = await failureOf(away.get('a'));
    expect(error).toBeInstanceOf(RedisUnavailableError);
    expect(isRedisError(error)).toBe(true);
  });

  it('is a RedisUnavailableError if the connection was ended', async () => {
    const ended = connectFast();
    await once(ended, 'ready');
    ended.disconnect();
    expect(await failureOf(ended.get('a'))).toBeInstanceOf(RedisUnavailableError);
  });

  it('is a RedisUnavailableError if Redis replies too late', async () => {
    const quick = connectFast();
    await once(quick, 'ready');
    await other.client('PAUSE', 1500, 'ALL');
    expect(await failureOf(quick.get('a'))).toBeInstanceOf(RedisUnavailableError);
    await other.ping();
  });

  it('is a RedisScriptError with the message of Redis if a script fails', async () => {
    const script = command('wrong', "return redis.call('GET', KEYS.key) .. nil");
    const error = await failureOf(script.run(redis, { key: 'nothing' }, {}));
    expect(error).toBeInstanceOf(RedisScriptError);
    expect(String(error)).toContain('concatenate');
    expect(isRedisError(error)).toBe(false);
  });

  it('is a RedisScriptError if a key has another type: in a script, in a command and in a transaction', async () => {
    await redis.set('text', '1');
    const script = command('type', "return redis.call('LLEN', KEYS.key)");
    expect(await failureOf(script.run(redis, { key: 'text' }, {}))).toBeInstanceOf(RedisScriptError);
    expect(await failureOf(redis.llen('text'))).toBeInstanceOf(RedisScriptError);
    const [[error] = []] = (await redis.multi().llen('text').exec()) ?? [];
    expect(error).toBeInstanceOf(Error);
    expect(isRedisError(error)).toBe(false);
  });

  it('is a RedisFullError if Redis has reached its maxmemory, also in a script', async () => {
    await other.config('SET', 'maxmemory', '1');
    const script = command('full', "return redis.call('SET', KEYS.key, 'x')");
    const [direct, scripted] = await Promise.all([
      failureOf(redis.set('a', 'b')),
      failureOf(script.run(redis, { key: 'a' }, {})),
    ]);
    await other.config('SET', 'maxmemory', '0');
    for (const error of [direct, scripted]) {
      expect(error).toBeInstanceOf(RedisFullError);
      expect(isRedisError(error)).toBe(true);
    }
  });

  it('is a RedisBusyError while the script of another connection runs too long', async () => {
    await other.config('SET', 'busy-reply-threshold', '1');
    const endless = failureOf(other.eval("while true do redis.call('PING') end", 0));
    await eventually('Redis reports that it is busy', async () =>
      expect(await failureOf(redis.get('a'))).toBeInstanceOf(RedisBusyError),
    );
    expect(isRedisError(await failureOf(redis.get('a')))).toBe(true);
    await redis.call('SCRIPT', 'KILL');
    await endless;
  });

  it.each([
    ['CLUSTERDOWN The cluster is down', RedisUnavailableError, true],
    ['NOPERM no permission', RedisForbiddenError, true],
    ['ERR user_script:1: attempt to index a nil value', RedisScriptError, false],
    ['WRONGTYPE of the wrong kind', RedisScriptError, false],
  ])('has the class of its code: %s', (reply, type, canRetry) => {
    const error = asRedisError(new (ReplyError as new (message: string) => Error)(reply));
    expect(error).toBeInstanceOf(type);
    expect(isRedisError(error)).toBe(canRetry);
  });

  it.each([
    ["NOPERM this user has no permissions to run the 'client|unblock' command", '+client|unblock'],
    ["NOPERM User cloud-connector has no permissions to run the 'info' command", '+info'],
    ['NOPERM No permissions to access a key', 'a key or a channel that begins with KEY_PREFIX'],
  ])('names the right that is missing: %s', (reply, right) => {
    const error = asRedisError(new (ReplyError as new (message: string) => Error)(reply));
    expect(error).toMatchObject({ right });
  });

  it('has the error of the client as its cause, and keeps its class when it is classified again', async () => {
    const error = await failureOf(redis.llen('text'));
    if (!(error instanceof RedisError)) throw new Error('not typed');
    expect(error.cause).toBeInstanceOf(Error);
    expect(isRedisError(error)).toBe(false);
    expect(isRedisError(new Error('Connection is closed'))).toBe(false);
  });
});
