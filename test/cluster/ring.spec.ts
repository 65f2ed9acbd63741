/** A few of the faults on a Redis Cluster: what `npm test` has time for. */
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

it('the lane owner is killed: its lane is taken over, session and all', async () => {
  await laneOwnerKilled(world);
});

it.each(['cut', 'silence'] as const)('one ingester loses all masters (%s), and joins again', async (how) => {
  await laneOwnerWithoutRedis(world, how);
});

it.each([0, 1, 2])('one ingester misses master %s alone: it leaves its work to the others', async (which) => {
  const lonely = await world.laneOwner();
  lonely.redis.cut(which);
  await world.untilOwned(lonely);
  lonely.redis.heal();
});

it('tells each transition once', async () => {
  expect(await world.doubled()).toEqual([]);
});
