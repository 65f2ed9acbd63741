/** Single faults of ingesters, on real processes under continuous load, with a witness. */
import { Random, seedOfRun } from '../support/random.js';
import { laneOwnerDrained, laneOwnerFrozen, laneOwnerKilled, laneOwnerWithoutRedis } from './support/scenarios.js';
import { World, metricOf } from './support/world.js';

/** Long enough that no lease is lost on a slow machine without a fault: one test counts acquisitions. */
const LEASE_MS = 6000;

const random = new Random(seedOfRun());
let world: World;

beforeAll(async () => {
  world = await World.start({ ingesters: 3, lanes: 1, clients: 40, random, leaseMs: LEASE_MS });
});

afterEach(async () => {
  await world.untilOwned();
  await world.verify();
}, 150_000);

afterAll(async () => {
  await world.stop();
});

it('another ingester takes over the lane and its session after the lane owner was killed with unacknowledged messages', async () => {
  await laneOwnerKilled(world);
});

it('another ingester takes over the lane of an owner that is frozen for longer than its lease, and the owner writes nothing after it wakes up', async () => {
  await laneOwnerFrozen(world);
});

it('others take over the shards of an ingester that is frozen, and its late writes are refused', async () => {
  const lane = await world.laneOwner();
  const frozen = random.pick(world.ingesters.filter((one) => one !== lane));
  world.freeze(frozen);
  await world.untilOwned(frozen);
  world.thaw(frozen);
});

it('a lane owner that stops in order hands its lane over', async () => {
  await laneOwnerDrained(world);
});

it('the shards are balanced after the cluster was scaled from 3 ingesters to 1, 4, 2 and 3', async () => {
  for (const count of [1, 4, 2, 3]) {
    await world.scaleTo(count);
    await world.untilOwned();
  }
  // On a busy machine an ingester may miss a renewal, and gets its shards again.
  await world.until('the shards are balanced', async () => {
    const shares = (await world.cluster()).members.map(({ shards }) => shards);
    expect(shares.toSorted()).toEqual([10, 11, 11]);
  });
});

it.each(['cut', 'silence'] as const)(
  'an ingester that loses Redis (%s) stops acting, keeps running, and joins again',
  async (how) => {
    await laneOwnerWithoutRedis(world, how);
  },
);

it('a lane owner that loses the broker is unready, and receives the queued messages when the broker is back', async () => {
  const owner = await world.laneOwner();
  owner.broker.cut();
  await world.until('the lane owner is unready', async () => {
    if ((await fetch(`${owner.app.url}/health/ready`)).ok) throw new Error('still ready');
  });
  owner.broker.heal();
});

it('a lane owner that loses the broker for long leaves its work to the others, and gets its share again when the broker is back', async () => {
  const isolated = await world.laneOwner();
  isolated.broker.cut();
  await world.untilOwned(isolated);
  await world.until('the isolated ingester says why it has no work', async () => {
    const unfit = (await world.cluster()).members.find(({ fitness }) => fitness === 'unfit');
    expect(unfit).toMatchObject({ reason: 'broker-unreachable', shards: 0, lanes: 0 });
  });
  isolated.broker.heal();
  await world.until('the ingester has its share of the shards again', async () => {
    expect(await metricOf(isolated, 'shards_owned')).toBeGreaterThanOrEqual(10);
  });
});

it('nothing moves if all ingesters lose the broker, and the queued messages arrive when it is back', async () => {
  const owner = await world.laneOwner();
  const before = world.witness.acquisitions;
  const cutAt = performance.now();
  for (const { broker } of world.ingesters) broker.cut();
  await world.until('all are troubled for longer than it takes to become unfit', async () => {
    const { members } = await world.cluster();
    expect(members.map(({ fitness }) => fitness)).toEqual(members.map(() => 'troubled'));
    expect(performance.now() - cutAt).toBeGreaterThan(2 * world.leaseMs);
  });
  for (const { broker } of world.ingesters) broker.heal();
  await world.until('all are fit', async () => {
    const { members } = await world.cluster();
    expect(members.map(({ fitness, reason }) => [fitness, reason])).toEqual(members.map(() => ['fit', null]));
  });
  expect(await world.laneOwner()).toBe(owner);
  expect(world.witness.acquisitions).toBe(before);
});

it('new ingesters catch up after all ingesters were killed while clients connect and leave', async () => {
  await Promise.all([...world.ingesters].map((one) => world.kill(one)));
  await Promise.all([world.add(), world.add(), world.add()]);
});

it('each handshake has had one event in all tests of this file', async () => {
  expect(await world.doubled()).toEqual([]);
  const { acquisitions, commits, appends } = world.witness;
  for (const seen of [acquisitions, commits, appends]) expect(seen).toBeGreaterThan(0);
});
