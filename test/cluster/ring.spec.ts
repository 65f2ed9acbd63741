/** Some of the faults on a Redis Cluster: those for which `npm test` has time. */
import { Random, seedOfRun } from '../support/random.js';
import { laneOwnerKilled, laneOwnerWithoutRedis } from './support/scenarios.js';
import { World } from './support/world.js';

const random = new Random(seedOfRun());
let world: World;

beforeAll(async () => {
  world = await World.start({ ingesters: 3, lanes: 1, clients: 30, random });
});

afterEach(async () => {
  await world.untilOwned();
  await world.verify();
});

afterAll(async () => {
  await world.stop();
});

it('another ingester takes over the lane and its session after the lane owner was killed', async () => {
  await laneOwnerKilled(world);
});

it.each(['cut', 'silence'] as const)(
  'an ingester that loses all masters (%s) stops acting and joins again',
  async (how) => {
    await laneOwnerWithoutRedis(world, how);
  },
);

it.each([0, 1, 2])('an ingester that loses only master %s leaves its work to the others', async (which) => {
  const isolated = await world.laneOwner();
  isolated.redis.cut(which);
  await world.untilOwned(isolated);
  isolated.redis.heal();
});

it('each handshake has had one event in all tests of this file', async () => {
  expect(await world.doubled()).toEqual([]);
});
