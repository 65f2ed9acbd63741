/** Remembers why a connection to Redis is not open, since only its events say it. */
import type { Cluster, Redis as RedisServer } from 'ioredis';
import type { RedisAddress } from './redis-url.js';
import { causeOf } from './unreachable.js';

export interface RedisFault {
  /** Without user names and passwords. */
  readonly address: string;
  /** Why the connection is not open; undefined while it is, and before the first attempt has ended. */
  cause: string | undefined;
  /** Of a Redis Cluster: the last error of each node that is part of it, by `host:port`. */
  readonly ofNodes: Map<string, string>;
}

type Redis = RedisServer | Cluster;

const faults = new WeakMap<Redis, RedisFault>();

export function watchFaults(redis: Redis, address: RedisAddress): RedisFault {
  const fault: RedisFault = { address: addressText(address), cause: undefined, ofNodes: new Map() };
  faults.set(redis, fault);
  redis.on('error', (error: unknown) => (fault.cause = causeOf(error)));
  redis.on('node error', (error: unknown, node: string) => fault.ofNodes.set(node, causeOf(error)));
  redis.on('+node', (node: RedisServer) => node.on('ready', () => fault.ofNodes.delete(addressOf(node))));
  redis.on('-node', (node: RedisServer) => fault.ofNodes.delete(addressOf(node)));
  redis.on('ready', () => (fault.cause = undefined));
  redis.on('close', () => (fault.cause ??= 'the connection ended'));
  return fault;
}

function addressOf({ options: { host, port } }: RedisServer): string {
  return `${host}:${port}`;
}

/** @param redis a connection of `connectRedis` */
export function faultOf(redis: Redis): RedisFault {
  return faults.get(redis) ?? { address: 'REDIS_URL', cause: undefined, ofNodes: new Map() };
}

/** As in `REDIS_URL`, without user names, passwords and the number of the database. */
export function addressText({ topology, tls, hosts, masterName }: RedisAddress): string {
  const scheme = (tls ? 'rediss' : 'redis') + (topology === 'single' ? '' : `+${topology}`);
  const names = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  return `${scheme}://${names.join(',')}${masterName === undefined ? '' : `/${masterName}`}`;
}
