/** The Redis of suites that start apps, in the topology that the Jest project sets: a single Redis or a cluster. */
import { connectRedis, mastersOf, type Redis } from '@app/platform';
import { startRedisCluster } from '../../scripts/redis-topologies.mjs';
import { startRedis } from '../../scripts/stack.mjs';
import { quiet } from './servers.js';

declare global {
  /** Set by jest.config.cjs. */
  var REDIS_TOPOLOGY: 'single' | 'cluster' | undefined;
}

export interface Store {
  readonly url: string;
  /** The port of each master. */
  readonly ports: readonly number[];
  stop(): Promise<void>;
  /** Starts Redis again after a stop, with its stored data. */
  again(): Promise<void>;
}

interface Started {
  url: string;
  stop(): Promise<unknown>;
}

/** @param options `persist`: whether Redis stores its data on disk */
export async function startStore(dir: string, { persist = true } = {}): Promise<Store> {
  if (globalThis.REDIS_TOPOLOGY === 'cluster') {
    const { ports, ...first } = await startRedisCluster({ dir, persist });
    const masters = ports.map(({ port }) => port);
    return storeOf(first, masters, () => startRedisCluster({ dir, persist, ports }));
  }
  const first = await startRedis({ dir, persist });
  return storeOf(first, [first.port], () => startRedis({ dir, persist, port: first.port }));
}

function storeOf(first: Started, ports: readonly number[], start: () => Promise<Started>): Store {
  let now = first;
  return {
    url: first.url,
    ports,
    stop: async () => {
      await now.stop();
    },
    again: async () => {
      now = await start();
    },
  };
}

/** Runs commands on a store of any topology. */
export async function onStore<T>(store: Store, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = connectRedis(store.url, { name: 'test', whenAway: 'wait' }, quiet);
  try {
    await redis.ping();
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

/** Runs commands on each master of a store. */
export async function onEachMaster(store: Store, act: (master: Redis) => Promise<unknown>): Promise<void> {
  await onStore(store, (redis) => Promise.all(mastersOf(redis).map(act)));
}
