/** Redis loses its data while the cluster runs; ingesters that do not fit the key space or the Redis do not start. */
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

it('ingesters notice that the key space was emptied, set it up again, and lose nothing after that', async () => {
  await world.untilOwned();
  await world.verify();
  const group = await marker('share_group');
  await world.load.pause();
  world.load.forgetHandshakes();
  await onEachMaster(world.store, (redis) => redis.flushall());
  world.load.resume();
  await world.until('every shard is owned again', async () => {
    const ownerless = (await world.cluster()).shards.filter(({ owner }) => owner === null);
    if (ownerless.length > 0) throw new Error(`${ownerless.length} shards have no owner`);
  });
  await world.untilOwned();
  await world.verify();
  // The share group is kept, and with it the lane's session and its queued messages at the broker.
  expect(await marker('share_group')).toBe(group);
});

it('an ingester with another SHARD_COUNT does not start, and its log says why', async () => {
  const env = { REDIS_URL: world.store.url, MQTT_URL: world.mosquitto.url, SHARD_COUNT: '16' };
  await expect(startApp('status-ingester', { dir: world.dir, name: 'misfit', env })).rejects.toThrow(/ended \(1\)/);
  expect(world.logOf('misfit')).toContain('SHARD_COUNT is 16, but this key space was set up with 32');
  await world.untilOwned();
});

it('an ingester does not start on a Redis that may evict keys, and its log says why', async () => {
  await onEachMaster(world.store, (redis) => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'));
  const env = { REDIS_URL: world.store.url, MQTT_URL: world.mosquitto.url };
  await expect(startApp('status-ingester', { dir: world.dir, name: 'unfit', env })).rejects.toThrow(/ended \(1\)/);
  expect(world.logOf('unfit')).toContain('set it to noeviction');
  await onEachMaster(world.store, (redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'));
});

async function marker(field: string): Promise<string | null> {
  return onStore(world.store, (redis) => redis.hget('cc:marker', field));
}
