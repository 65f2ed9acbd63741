/** A few of the faults on a Redis Cluster: what `npm test` has time for. */
import { Random, seedOfRun } from '../support/random.js';
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
  await world.kill(await world.laneOwner());
  await world.untilOwned();
  await world.add();
});

it.each(['cut', 'silence'] as const)('one ingester loses all masters (%s), and joins again', async (how) => {
  const lonely = await world.laneOwner();
  lonely.redis[how]();
  await world.untilOwned(lonely);
  expect((await fetch(`${lonely.app.url}/health/live`)).status).toBe(200);
  expect((await fetch(`${lonely.app.url}/health/ready`)).status).toBe(503);
  lonely.redis.heal();
});

it('tells each transition once', async () => {
  expect(await world.doubled()).toEqual([]);
});
