/** The Redis of a whole system, in the topology that the Jest project names: the suites are the same for each. */
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
  stop(): Promise<void>;
  /** Starts it again after a stop, with what it has stored. */
  again(): Promise<void>;
}

interface Started {
  url: string;
  stop(): Promise<unknown>;
}

/** Keeps what it stores on disk. */
export async function startStore(dir: string): Promise<Store> {
  if (globalThis.REDIS_TOPOLOGY === 'cluster') {
    const { ports, ...first } = await startRedisCluster({ dir, persist: true });
    return storeOf(first, () => startRedisCluster({ dir, persist: true, ports }));
  }
  const first = await startRedis({ dir, persist: true });
  return storeOf(first, () => startRedis({ dir, persist: true, port: first.port }));
}

function storeOf(first: Started, start: () => Promise<Started>): Store {
  let now = first;
  return {
    url: first.url,
    stop: async () => {
      await now.stop();
    },
    again: async () => {
      now = await start();
    },
  };
}

/** Uses a store directly, on each of its masters. */
export async function onEachMaster(store: Store, act: (master: Redis) => Promise<unknown>): Promise<void> {
  const redis = connectRedis(store.url, { name: 'test', whenAway: 'wait' }, quiet);
  await redis.ping();
  await Promise.all(mastersOf(redis).map(act));
  redis.disconnect();
}
