/** Faults of the lane's owner that several suites inject. The caller checks that the cluster recovers. */
import type { World } from './world.js';

export async function laneOwnerKilled(world: World): Promise<void> {
  await world.kill(await world.laneOwner());
  await world.untilOwned();
  await world.add();
}

/** The owner is frozen until another ingester has taken over. */
export async function laneOwnerFrozen(world: World): Promise<void> {
  const frozen = await world.laneOwner();
  world.freeze(frozen);
  await world.untilOwned(frozen);
  world.thaw(frozen);
}

export async function laneOwnerDrained(world: World): Promise<void> {
  await world.drain(await world.laneOwner());
  await world.add();
}

/** The owner stops acting, is unready, and keeps running. */
export async function laneOwnerWithoutRedis(world: World, how: 'cut' | 'silence'): Promise<void> {
  const isolated = await world.laneOwner();
  isolated.redis[how]();
  await world.untilOwned(isolated);
  expect((await fetch(`${isolated.app.url}/health/live`)).status).toBe(200);
  expect((await fetch(`${isolated.app.url}/health/ready`)).status).toBe(503);
  isolated.redis.heal();
}
