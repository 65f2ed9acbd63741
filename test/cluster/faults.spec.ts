/** The failure table, row by row, on real processes under continuous load, with a witness. */
import { Random, seedOfRun } from '../support/random.js';
import { laneOwnerDrained, laneOwnerFrozen, laneOwnerKilled, laneOwnerWithoutRedis } from './support/scenarios.js';
import { World, metricOf } from './support/world.js';

/** Where nothing fails none may be lost, also on a slow machine: one test counts those that change hands. */
const LEASE_MS = 6000;

const random = new Random(seedOfRun());
let world: World;

beforeAll(async () => {
  world = await World.start({ ingesters: 3, lanes: 1, clients: 40, random, leaseMs: LEASE_MS });
}, 60_000);

afterEach(async () => {
  await world.untilOwned();
  await world.verify();
}, 150_000);

afterAll(async () => {
  await world.stop();
}, 60_000);

it('the lane owner is killed with unacknowledged messages: its lane is taken over, session and all', async () => {
  await laneOwnerKilled(world);
});

it('the lane owner is frozen beyond its lease: another takes over, and it stays quiet when it wakes', async () => {
  await laneOwnerFrozen(world);
});

it('an ingester without a lane is frozen: its shards are taken over, and its late writes refused', async () => {
  const lane = await world.laneOwner();
  const zombie = random.pick(world.ingesters.filter((one) => one !== lane));
  world.freeze(zombie);
  await world.untilOwned(zombie);
  world.thaw(zombie);
});

it('the lane owner stops in order: it hands over, and nobody waits for a lease to run out', async () => {
  await laneOwnerDrained(world);
});

it('the cluster is scaled from 3 to 1, to 4, to 2, and back', async () => {
  for (const count of [1, 4, 2, 3]) {
    await world.scaleTo(count);
    await world.untilOwned();
  }
  const shares = (await world.cluster()).members.map(({ shards }) => shards);
  expect(shares.toSorted()).toEqual([10, 11, 11]);
});

it.each(['cut', 'silence'] as const)(
  'one ingester loses Redis (%s): it stops acting and lives, and joins again',
  async (how) => {
    await laneOwnerWithoutRedis(world, how);
  },
);

it('the lane owner loses the broker: what waits there comes when it is back', async () => {
  const owner = await world.laneOwner();
  owner.broker.cut();
  await world.until('it to be unready', async () => {
    if ((await fetch(`${owner.app.url}/health/ready`)).ok) throw new Error('still ready');
  });
  owner.broker.heal();
});

it('the lane owner loses the broker for long: it gives up to those who have it, and gets its share when it is back', async () => {
  const lonely = await world.laneOwner();
  lonely.broker.cut();
  await world.untilOwned(lonely);
  const about = (await world.cluster()).members.find(({ fitness }) => fitness === 'unfit');
  expect(about).toMatchObject({ shards: 0, lanes: 0 });
  lonely.broker.heal();
  await world.until('its share to be back', async () => {
    expect(await metricOf(lonely, 'shards_owned')).toBeGreaterThanOrEqual(10);
  });
});

it('all lose the broker: nothing moves, and what waits there comes when it is back', async () => {
  const owner = await world.laneOwner();
  const before = world.witness.acquisitions;
  const cutAt = performance.now();
  for (const { broker } of world.ingesters) broker.cut();
  await world.until('all to be troubled for longer than it takes to be unfit', async () => {
    const { members } = await world.cluster();
    expect(members.map(({ fitness }) => fitness)).toEqual(members.map(() => 'troubled'));
    expect(performance.now() - cutAt).toBeGreaterThan(2 * world.leaseMs);
  });
  for (const { broker } of world.ingesters) broker.heal();
  await world.until('all to be fit', async () => {
    const { members } = await world.cluster();
    expect(members.map(({ fitness }) => fitness)).toEqual(members.map(() => 'fit'));
  });
  expect(await world.laneOwner()).toBe(owner);
  expect(world.witness.acquisitions).toBe(before);
});

it('all ingesters are killed while clients come and go: their successors catch up', async () => {
  await Promise.all([...world.ingesters].map((one) => world.kill(one)));
  await Promise.all([world.add(), world.add(), world.add()]);
});

it('tells each transition once', async () => {
  expect(await world.doubled()).toEqual([]);
  const { acquisitions, commits, appends } = world.witness;
  for (const seen of [acquisitions, commits, appends]) expect(seen).toBeGreaterThan(0);
});
