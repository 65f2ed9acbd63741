/** What a log line contains of an error, and what it never contains. */
import { Redis as RedisServer } from 'ioredis';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as stack from '../../../scripts/stack.mjs';
import {
  eventually,
  startRedis,
  startRedisCluster,
  type RedisCluster,
  type Server,
} from '../../../test/support/servers.js';
import { errorLine } from './logged-error.js';
import { createLogger, type Logger } from './logger.js';
import { RedisUnavailableError } from './redis-error.js';
import { closeRedis, connectRedis, isCluster, type Redis } from './redis.js';

const SECRET = 'a-password-of-the-spec';

let lines: string[];
let logger: Logger;

beforeEach(() => {
  lines = [];
  logger = createLogger('spec', 'trace', { write: (line) => lines.push(line) });
});

const shown = (): string => lines.join('');

it('a logged error has class, message, code and stack, and those of its causes', () => {
  const inner = Object.assign(new TypeError('inner'), { code: 'EINNER', headers: { authorization: SECRET } });
  const all = new AggregateError([inner, 'a text'], 'all failed', { cause: inner });
  logger.warn({ err: Object.assign(all, { options: { password: SECRET }, code: 7, syscall: 'connect' }) }, 'failed');
  const { err } = JSON.parse(shown()) as { err: unknown };
  const logged = {
    type: 'TypeError',
    message: 'inner',
    code: 'EINNER',
    stack: expect.stringContaining('inner') as unknown,
  };
  expect(err).toEqual({
    ...{ type: 'AggregateError', message: 'all failed', code: 7, syscall: 'connect', cause: logged },
    ...{
      errors: [logged, { type: 'string', message: 'a text' }],
      stack: expect.stringContaining('all failed') as unknown,
    },
  });
});

it('that Redis is away is logged without a stack', () => {
  const cause = new Error("Stream isn't writeable and enableOfflineQueue options is false");
  logger.warn({ err: new RedisUnavailableError(cause) }, 'failed');
  const { err } = JSON.parse(shown()) as { err: unknown };
  const logged = { type: 'RedisUnavailableError', message: 'there is no connection to Redis' };
  expect(err).toEqual({ ...logged, cause: { type: 'Error', message: cause.message } });
});

it('errorLine is one line without stacks, and repeats no message', () => {
  const inner = new TypeError('connect ECONNREFUSED');
  const outer = new Error(inner.message, { cause: inner });
  expect(errorLine(new RangeError('too late', { cause: outer }))).toBe(
    'RangeError: too late; Error: connect ECONNREFUSED',
  );
  expect(errorLine('a text')).toBe('string: a text');
});

it('a logged error is an object for any thrown value, and ends if causes form a cycle', () => {
  const round = new Error('round');
  round.cause = round;
  for (const err of [round, { password: SECRET }, undefined, null, 'text', Symbol('s'), 7])
    logger.error({ err }, 'failed');
  for (const line of lines) {
    const { err } = JSON.parse(line) as { err?: unknown };
    if (err !== undefined)
      expect(err).toMatchObject({ type: expect.any(String) as unknown, message: expect.any(String) as unknown });
  }
  expect(lines).toHaveLength(7);
  expect(shown()).not.toContain(SECRET);
});

it('a logged error never contains an invalid URL with its password', () => {
  try {
    new URL(`https://user:${SECRET}@127.0.0.1:x`);
  } catch (err) {
    logger.warn({ err }, 'failed');
  }
  expect(lines).toHaveLength(1);
  expect(shown()).not.toContain(SECRET);
});

describe('a Redis password that is wrong', () => {
  const open: Redis[] = [];

  afterEach(async () => {
    await Promise.all(open.splice(0).map(closeRedis));
  });

  function connect(url: string): Redis {
    const redis = connectRedis(url.replace('//', `//:${SECRET}@`), { name: 'spec', whenAway: 'wait' }, logger);
    // BullMQ opens its blocking connection in this way.
    const second = isCluster(redis) ? redis.duplicate() : redis.duplicate();
    second.on('error', (err: unknown) => logger.warn({ err }, 'worker error'));
    open.push(redis, second);
    return redis;
  }

  async function refuse(ports: readonly number[]): Promise<void> {
    for (const port of ports) {
      const server = new RedisServer(port, '127.0.0.1');
      await server.config('SET', 'requirepass', 'another');
      server.disconnect();
    }
  }

  describe('by one server', () => {
    let server: Server;
    beforeAll(async () => (server = await startRedis()));
    afterAll(() => server.stop());

    it('is in no log line', async () => {
      await refuse([server.port]);
      connect(server.url);
      await eventually('both connections have logged the refusal', () => {
        for (const message of ['redis connection error', 'worker error']) {
          expect(lines.some((line) => line.includes(message) && line.includes('WRONGPASS'))).toBe(true);
        }
      });
      expect(shown()).not.toContain(SECRET);
    });
  });

  describe('by the nodes of a cluster', () => {
    let cluster: RedisCluster;
    beforeAll(async () => (cluster = await startRedisCluster()));
    afterAll(() => cluster.stop());

    it('is in no log line', async () => {
      await refuse(cluster.ports.map(({ port }) => port));
      connect(cluster.url);
      await eventually('the nodes have refused the password', () =>
        expect(lines.filter((line) => line.includes('WRONGPASS')).length).toBeGreaterThan(3),
      );
      await eventually('the error of the last node is logged', () => expect(shown()).toContain('lastNodeError'));
      expect(shown()).not.toContain(SECRET);
    });
  });

  it('is in no log line if the server repeats the arguments of an unknown command', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-spec-'));
    const server = await stack.startRedis({
      dir,
      args: ['--rename-command', 'AUTH', '', '--rename-command', 'HELLO', ''],
    });
    try {
      connect(server.url);
      await eventually('the server has repeated the arguments', () =>
        expect(shown()).toContain('with args beginning with: …'),
      );
      expect(shown()).not.toContain(SECRET);
    } finally {
      await Promise.all(open.splice(0).map(closeRedis));
      await server.stop();
      rmSync(dir, { recursive: true });
    }
  });
});
