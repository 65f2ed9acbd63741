/**
 * Limits the requests a second of each caller and of each address, at all gateways together. Each gateway leases requests from
 * Redis in advance, and admits them without a round trip. A caller above its limit is refused from memory until the window of a
 * second ends, so that its requests do not load Redis. While Redis is away, each gateway counts by itself.
 */
import { isIPv6 } from 'node:net';
import type { Logger, Redis } from '@app/platform';
import type { Caller } from './caller.js';
import { LeasedLimit, type Refusal } from './leased-limit.js';

/** So many messages of a batch, bytes of a body, or items of a page count as one request. */
const MESSAGES_A_REQUEST = 10;
const BYTES_A_REQUEST = 65_536;
const ITEMS_A_REQUEST = 100;

const WINDOW_MS = 1000;

export interface LimitsASecond {
  /** 0: no limit. */
  perKey: number;
  /** 0: no limit. */
  perAddress: number;
  /** Another window than a second; for tests. */
  windowMs?: number;
}

export class RequestLimits {
  private readonly ofKeys: LeasedLimit | undefined;
  private readonly ofAddresses: LeasedLimit | undefined;
  private readonly perKey: number;
  /** The limits for the header `RateLimit-Policy`; undefined if there are none. */
  readonly policy: string | undefined;

  constructor(redis: Redis, keyPrefix: string, limits: LimitsASecond, logger: Logger) {
    const { perKey, perAddress, windowMs = WINDOW_MS } = limits;
    const limitOf = (by: 'key' | 'address', requests: number): LeasedLimit | undefined =>
      requests === 0 ? undefined : new LeasedLimit(redis, by, `${keyPrefix}:${by}`, { requests, windowMs }, logger);
    this.perKey = perKey;
    const policies = Object.entries({ key: perKey, address: perAddress }).filter(([, requests]) => requests > 0);
    const seconds = Math.ceil(windowMs / 1000);
    this.policy = policies.map(([by, requests]) => `"${by}";q=${requests};w=${seconds}`).join(', ') || undefined;
    this.ofKeys = limitOf('key', perKey);
    this.ofAddresses = limitOf('address', perAddress);
  }

  /** Whether there are no limits. */
  get none(): boolean {
    return this.policy === undefined;
  }

  /** Counts a request of an address. */
  countAddress(address: string): Refusal | Promise<Refusal> {
    return this.ofAddresses?.count(networkOf(address), 1);
  }

  /** Counts a request of a caller. */
  countCaller({ id }: Caller): Refusal | Promise<Refusal> {
    return this.ofKeys?.count(id, 1);
  }

  /** Counts the cost of a request beyond one. @throws Problem */
  async countCost({ id }: Caller, { messages = 0, bytes = 0, items = 0 }: Cost): Promise<void> {
    const requests = Math.ceil(
      Math.max(messages / MESSAGES_A_REQUEST, bytes / BYTES_A_REQUEST, items / ITEMS_A_REQUEST),
    );
    const more = Math.min(requests, this.perKey) - 1;
    const refusal = more > 0 ? await this.ofKeys?.count(id, more) : undefined;
    if (refusal !== undefined) throw refusal;
  }
}

/** What a request costs: messages to accept, bytes to store, items to list. */
export interface Cost {
  messages?: number;
  bytes?: number;
  items?: number;
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
