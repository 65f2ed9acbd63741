/** Lanes move with their sessions: with 2 and 4 of them, a killed, frozen or drained owner loses no message. */
import { Random, seedOfRun } from '../support/random.js';
import { laneOwnerDrained, laneOwnerFrozen, laneOwnerKilled } from './support/scenarios.js';
import { World } from './support/world.js';

const random = new Random(seedOfRun());

describe.each([2, 4])('with %i lanes', (lanes) => {
  let world: World;

  beforeAll(async () => {
    world = await World.start({ ingesters: 3, lanes, clients: 30, random });
  }, 60_000);

  afterEach(async () => {
    await world.untilOwned();
    await world.verify();
  }, 150_000);

  afterAll(async () => {
    await world.stop();
  }, 60_000);

  it('an owner is killed', async () => {
    await laneOwnerKilled(world);
  });

  it('an owner is frozen beyond its lease, and wakes', async () => {
    await laneOwnerFrozen(world);
  });

  it('an owner is drained', async () => {
    await laneOwnerDrained(world);
  });
});
