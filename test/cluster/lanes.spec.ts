/** With 2 and 4 lanes: if an owner is killed, frozen or stopped, its lanes move with their sessions, and no message is lost. */
import { Random, seedOfRun } from '../support/random.js';
import { laneOwnerDrained, laneOwnerFrozen, laneOwnerKilled } from './support/scenarios.js';
import { World } from './support/world.js';

const random = new Random(seedOfRun());

describe.each([2, 4])('with %i lanes', (lanes) => {
  let world: World;

  beforeAll(async () => {
    world = await World.start({ ingesters: 3, lanes, clients: 30, random });
  });

  afterEach(async () => {
    await world.untilOwned();
    await world.verify();
  }, 150_000);

  afterAll(async () => {
    await world.stop();
  });

  it('no message is lost if a lane owner is killed', async () => {
    await laneOwnerKilled(world);
  });

  it('no message is lost if a lane owner is frozen for longer than its lease and wakes up', async () => {
    await laneOwnerFrozen(world);
  });

  it('no message is lost if a lane owner stops in order', async () => {
    await laneOwnerDrained(world);
  });
});
