/** What Redis held is gone beneath a running cluster, and settings that do not fit a key space are refused. */
import { startApp } from '../../scripts/stack.mjs';
import { onEachMaster, onStore } from '../support/store.js';
import { Random, seedOfRun } from '../support/random.js';
import { World } from './support/world.js';

const random = new Random(seedOfRun());
let world: World;

beforeAll(async () => {
  world = await World.start({ ingesters: 2, lanes: 1, clients: 20, random });
});

afterAll(async () => {
  await world.stop();
});

it('the key space is emptied: ingesters notice, set it up anew, and nothing after that is lost', async () => {
  await world.untilOwned();
  await world.verify();
  const group = await marker('share_group');
  await world.load.pause();
  world.load.forget();
  await onEachMaster(world.store, (redis) => redis.flushall());
  world.load.goOn();
  await world.until('every shard to be owned anew', async () => {
    const ownerless = (await world.cluster()).shards.filter(({ owner }) => owner === null);
    if (ownerless.length > 0) throw new Error(`${ownerless.length} shards have no owner`);
  });
  await world.untilOwned();
  await world.verify();
  // The lane's session, and what the broker queues for it, are kept.
  expect(await marker('share_group')).toBe(group);
});

it('an ingester with another SHARD_COUNT does not start, and says why', async () => {
  const env = { REDIS_URL: world.store.url, MQTT_URL: world.mosquitto.url, SHARD_COUNT: '16' };
  await expect(startApp('status-ingester', { dir: world.dir, name: 'misfit', env })).rejects.toThrow(/ended \(1\)/);
  expect(world.logOf('misfit')).toContain('SHARD_COUNT is 16, but this key space was set up with 32');
  await world.untilOwned();
});

it('an ingester does not start on a Redis that may evict, and says why', async () => {
  await onEachMaster(world.store, (redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'));
  const env = { REDIS_URL: world.store.url, MQTT_URL: world.mosquitto.url };
  await expect(startApp('status-ingester', { dir: world.dir, name: 'unfit', env })).rejects.toThrow(/ended \(1\)/);
  expect(world.logOf('unfit')).toContain('set it to noeviction');
  await onEachMaster(world.store, (redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'));
});

async function marker(field: string): Promise<string | null> {
  return onStore(world.store, (redis) => redis.hget('cc:marker', field));
}
