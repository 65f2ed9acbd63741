/** All clients lose their connections and reconnect at the same time, while ingesters freeze and are killed. */
import { Crowd } from './support/crowd.js';
import { Random, seedOfRun } from '../support/random.js';
import { World, metricOf } from './support/world.js';

const CLIENTS = 1500;
/** Long, so that a mailbox fills before its shard is taken over, even on a busy machine. */
const LEASE_MS = 15_000;
/** Small, so that the mailbox of a shard without an owner is full at once. */
const MAILBOX_LIMIT = 10;
const FULL = 'intake_waits_total{cause="mailbox-full"}';

const random = new Random(seedOfRun());
let world: World;
let crowd: Crowd;

beforeAll(async () => {
  const settings = { MAILBOX_LIMIT: `${MAILBOX_LIMIT}`, INTAKE_WINDOW: `${MAILBOX_LIMIT}` };
  world = await World.start({ ingesters: 3, lanes: 1, clients: 10, random, settings, leaseMs: LEASE_MS });
  crowd = new Crowd(world.mosquitto.url, world.load.handshakes, CLIENTS);
  await world.untilOwned();
  await crowd.connect(1);
  await world.verify();
});

afterAll(async () => {
  await crowd.stop();
  await world.stop();
});

it('a reconnect storm fills mailboxes up to their limit, ends no process, and loses nothing', async () => {
  const lane = await world.laneOwner();
  const frozen = random.pick(world.ingesters.filter((one) => one !== lane));
  // Nobody reads the mailboxes of its shards until they are taken over: they fill, and the lane has to wait.
  world.freeze(frozen);
  await crowd.vanish();
  const reconnected = crowd.connect(3);
  await world.until('the lane waits for a full mailbox', async () => {
    const depths = (await world.cluster()).shards.map((shard) => shard.mailbox_depth);
    expect(Math.max(...depths)).toBeLessThanOrEqual(MAILBOX_LIMIT);
    const waits = await Promise.all(world.ingesters.map((one) => metricOf(one, FULL)));
    expect(Math.max(...waits)).toBeGreaterThan(0);
  });
  await world.kill(await world.laneOwner());
  await world.untilOwned(frozen);
  world.thaw(frozen);
  await world.add();
  await reconnected;
  await world.untilOwned();
  await world.verify();
  expect(await world.doubled()).toEqual([]);
  expect(world.ingesters.filter(({ app }) => !app.running)).toEqual([]);
});
