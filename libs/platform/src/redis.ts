/** Redis connections and scripts. One connection may carry many commands; a blocking read needs one of its own. */
import { Redis, type ChainableCommander, type RedisOptions } from 'ioredis';
import { backoffMs } from './backoff.js';
import type { Logger } from './logger.js';

export type { ChainableCommander, Redis };

/** Longest a command of a `fail` connection waits for its answer, in milliseconds. */
export const REDIS_ANSWER_MS = 700;

export interface RedisConnectionOptions {
  /** Shown by `CLIENT LIST`. */
  name: string;
  /**
   * `wait`: commands wait for Redis to come back (workers that have nothing else to do).
   * `fail`: commands fail well within a second (callers that must answer).
   */
  whenAway: 'wait' | 'fail';
}

/** Opens a connection that comes back by itself, with jitter. The caller closes it. */
export function connectRedis(url: string, options: RedisConnectionOptions, logger: Logger): Redis {
  const shared = {
    connectionName: options.name,
    retryStrategy: (times: number) => backoffMs(times, 50, 2000),
    // A replica that was a master, or a server still loading: this connection is of no use, the next may be.
    reconnectOnError: (error: Error) => (/^(READONLY|LOADING)/.test(error.message) ? 2 : false),
  } satisfies RedisOptions;
  const redis = new Redis(
    url,
    options.whenAway === 'wait'
      ? { ...shared, maxRetriesPerRequest: null }
      : { ...shared, maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: REDIS_ANSWER_MS },
  );
  redis.on('error', (error: Error) =>
    logger.warn({ redis: options.name, err: error.message }, 'redis connection error'),
  );
  redis.on('ready', () => logger.debug({ redis: options.name }, 'redis connected'));
  return redis;
}

/** Ends a connection: in order where Redis answers, at once where it is away. */
export async function closeRedis(redis: Redis): Promise<void> {
  if (redis.status === 'ready') await redis.quit();
  else redis.disconnect();
}

/** For readiness: undefined where Redis answers within a second, otherwise what is wrong. */
export async function redisTrouble(redis: Redis): Promise<string | undefined> {
  if (redis.status !== 'ready') return `redis is ${redis.status}`;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('redis does not answer'), 1000);
  });
  const answer = redis.ping().then(
    () => undefined,
    (error: unknown) => String(error),
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** An operator set Redis up in a way that would lose or break what is stored. */
export class UnfitRedisError extends Error {
  override readonly name = 'UnfitRedisError';
}

/** Refuses a Redis that may evict our keys or is too old for the scripts. @throws UnfitRedisError */
export async function assertRedisFit(redis: Redis): Promise<void> {
  const info = await redis.info();
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info);
  if (version !== null && Number(version[1]) < 7) {
    throw new UnfitRedisError(`Redis ${version[0].slice(14)} is too old: 7.0 or newer is needed`);
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    throw new UnfitRedisError(
      `Redis has maxmemory-policy ${policy}, which may throw away stored messages: set it to noeviction`,
    );
  }
}

/**
 * A Lua script: one atomic act. Runs by its digest; on a server that does not know it yet, ioredis sends the text.
 * All keys of a call lie on one hash slot.
 */
export class RedisScript<Reply> {
  constructor(
    private readonly name: string,
    private readonly lua: string,
  ) {}

  /** Runs the script; rejects with what Redis or the connection says. */
  async run(redis: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<Reply> {
    return (await this.call(redis, keys, args)) as Reply;
  }

  /** Adds the script to a pipeline, whose `exec()` brings its reply. */
  queue(pipeline: ChainableCommander, redis: Redis, keys: readonly string[], args: readonly (string | number)[]): void {
    this.define(redis);
    (pipeline as unknown as Record<string, ScriptCall>)[this.name]?.(keys.length, ...keys, ...args);
  }

  private call(redis: Redis, keys: readonly string[], args: readonly (string | number)[]): unknown {
    this.define(redis);
    return (redis as unknown as Record<string, ScriptCall>)[this.name]?.(keys.length, ...keys, ...args);
  }

  private define(redis: Redis): void {
    if (!(this.name in redis)) redis.defineCommand(this.name, { lua: this.lua });
  }
}

type ScriptCall = (keyCount: number, ...args: (string | number)[]) => unknown;
