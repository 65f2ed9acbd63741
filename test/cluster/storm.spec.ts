/** All clients are cut at once and come back at once, while ingesters freeze and die. */
import { Crowd } from './support/crowd.js';
import { Random, seedOfRun } from '../support/random.js';
import { World, metricOf } from './support/world.js';

const CLIENTS = 1500;
/** A mailbox must have time to fill before it is taken over, also on a machine that is busy with much else. */
const LEASE_MS = 15_000;
/** Small, so that a mailbox whose owner has gone is full at once. */
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
  await crowd.come(1);
  await world.verify();
});

afterAll(async () => {
  await crowd.stop();
  await world.stop();
});

it('a reconnect storm: mailboxes fill up and drain, no process dies, nothing is lost', async () => {
  const lane = await world.laneOwner();
  const frozen = random.pick(world.ingesters.filter((one) => one !== lane));
  // Its shards stand still until they are taken over: their mailboxes fill, and the lane has to wait.
  world.freeze(frozen);
  await crowd.vanish();
  const back = crowd.come(3);
  await world.until('the lane to wait for a full mailbox', async () => {
    const depths = (await world.cluster()).shards.map((shard) => shard.mailbox_depth);
    expect(Math.max(...depths)).toBeLessThanOrEqual(MAILBOX_LIMIT);
    const waits = await Promise.all(world.ingesters.map((one) => metricOf(one, FULL)));
    expect(Math.max(...waits)).toBeGreaterThan(0);
  });
  await world.kill(await world.laneOwner());
  await world.untilOwned(frozen);
  world.thaw(frozen);
  await world.add();
  await back;
  await world.untilOwned();
  await world.verify();
  expect(await world.doubled()).toEqual([]);
  expect(world.ingesters.filter(({ app }) => !app.running)).toEqual([]);
});
