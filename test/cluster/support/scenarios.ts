/** Faults of the lane's owner that several suites play. Each leaves it to the caller to see that all comes back. */
import type { World } from './world.js';

export async function laneOwnerKilled(world: World): Promise<void> {
  await world.kill(await world.laneOwner());
  await world.untilOwned();
  await world.add();
}

/** Beyond its lease: another takes over, and it wakes. */
export async function laneOwnerFrozen(world: World): Promise<void> {
  const zombie = await world.laneOwner();
  world.freeze(zombie);
  await world.untilOwned(zombie);
  world.thaw(zombie);
}

export async function laneOwnerDrained(world: World): Promise<void> {
  await world.drain(await world.laneOwner());
  await world.add();
}

/** It stops acting and lives. */
export async function laneOwnerWithoutRedis(world: World, how: 'cut' | 'silence'): Promise<void> {
  const lonely = await world.laneOwner();
  lonely.redis[how]();
  await world.untilOwned(lonely);
  expect((await fetch(`${lonely.app.url}/health/live`)).status).toBe(200);
  expect((await fetch(`${lonely.app.url}/health/ready`)).status).toBe(503);
  lonely.redis.heal();
}
