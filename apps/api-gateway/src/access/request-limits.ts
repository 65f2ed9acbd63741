/**
 * Limits the requests a second of each caller and of each address, at all gateways together. They are counted in Redis, in
 * windows of a second. A caller above its limit is refused from memory until the window ends, so that its requests do not load
 * Redis. While Redis is away, each gateway counts by itself.
 */
import { isIPv6 } from 'node:net';
import { counter, type Redis } from '@app/platform';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { Problem } from '../http/problem.js';
import type { Caller } from './caller.js';

const limited = counter('requests_limited', 'Requests refused for their number, by what was counted.', {
  by: ['key', 'address'],
});

/** So many messages of a batch, bytes of a body, or items of a page count as one request. */
const MESSAGES_A_REQUEST = 10;
const BYTES_A_REQUEST = 65_536;
const ITEMS_A_REQUEST = 100;

export interface LimitsASecond {
  /** 0: no limit. */
  perKey: number;
  /** 0: no limit. */
  perAddress: number;
}

export class RequestLimits {
  private readonly ofKeys: RateLimiterRedis | undefined;
  private readonly ofAddresses: RateLimiterRedis | undefined;
  private readonly perKey: number;

  constructor(redis: Redis, keyPrefix: string, { perKey, perAddress }: LimitsASecond) {
    this.perKey = perKey;
    this.ofKeys = limiterOf(redis, `${keyPrefix}:key`, perKey);
    this.ofAddresses = limiterOf(redis, `${keyPrefix}:address`, perAddress);
  }

  /** Whether there are no limits: then no method waits for Redis. */
  get none(): boolean {
    return this.ofKeys === undefined && this.ofAddresses === undefined;
  }

  /** Counts a request of an address. @throws Problem */
  async countAddress(address: string): Promise<void> {
    await consume(this.ofAddresses, networkOf(address), 1, 'address');
  }

  /** Counts a request of a caller. @throws Problem */
  async countCaller({ id }: Caller): Promise<void> {
    await consume(this.ofKeys, id, 1, 'key');
  }

  /** Counts the cost of a request beyond one. @throws Problem */
  async countCost({ id }: Caller, { messages = 0, bytes = 0, items = 0 }: Cost): Promise<void> {
    const requests = Math.ceil(
      Math.max(messages / MESSAGES_A_REQUEST, bytes / BYTES_A_REQUEST, items / ITEMS_A_REQUEST),
    );
    const more = Math.min(requests, this.perKey) - 1;
    if (more > 0) await consume(this.ofKeys, id, more, 'key');
  }
}

/** What a request costs: messages to accept, bytes to store, items to list. */
export interface Cost {
  messages?: number;
  bytes?: number;
  items?: number;
}

function limiterOf(redis: Redis, keyPrefix: string, points: number): RateLimiterRedis | undefined {
  if (points === 0) return undefined;
  return new RateLimiterRedis({
    storeClient: redis,
    keyPrefix,
    points,
    duration: 1,
    inMemoryBlockOnConsumed: points + 1,
    rejectIfRedisNotReady: true,
    insuranceLimiter: new RateLimiterMemory({ keyPrefix, points, duration: 1 }),
  });
}

async function consume(
  limiter: RateLimiterRedis | undefined,
  key: string,
  points: number,
  by: 'key' | 'address',
): Promise<void> {
  try {
    await limiter?.consume(key, points);
  } catch (reached) {
    if (!(reached instanceof RateLimiterRes)) throw reached;
    limited.inc({ by });
    const retryAfterSeconds = Math.max(1, Math.ceil(reached.msBeforeNext / 1000));
    throw new Problem('rate-limited', `too many requests a second of this ${by}`, { retryAfterSeconds });
  }
}

/** The network that one party usually has: an IPv4 address, or the upper half of an IPv6 address. */
export function networkOf(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(bare)) return bare;
  const [head = [], tail] = bare.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const left = [...head];
  if (tail !== undefined) left.push(...Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0'), ...tail);
  return left
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':');
}
