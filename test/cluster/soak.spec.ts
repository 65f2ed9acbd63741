/**
 * Faults in a random order under load: nothing is lost, and nothing is doubled. Each fault happens once, or random faults
 * happen for `SOAK_SECONDS`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random, seedOfRun } from '../support/random.js';
import { World } from './support/world.js';

const FAULTS = ['kill', 'freeze', 'cut Redis', 'silence Redis', 'cut a master', 'cut broker', 'drain'] as const;
type Fault = (typeof FAULTS)[number];

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 0);
const VERIFY_EVERY_MS = 30_000;

const random = new Random(seedOfRun());

it(
  SECONDS > 0
    ? `the cluster loses and doubles nothing in ${SECONDS} seconds of faults`
    : 'the cluster loses and doubles nothing if each fault happens once, in any order',
  async () => {
    const world = await World.start({ ingesters: 3, lanes: 1, clients: 60, random });
    const counts = new Map<Fault, number>();
    let verifyAt = performance.now() + VERIFY_EVERY_MS;
    try {
      for (const fault of faults()) {
        counts.set(fault, (counts.get(fault) ?? 0) + 1);
        await inject(world, fault);
        await sleep(random.below(1500));
        if (performance.now() < verifyAt) continue;
        await world.untilOwned();
        await world.verify();
        verifyAt = performance.now() + VERIFY_EVERY_MS;
      }
      await world.untilOwned();
      await world.verify();
      expect(await world.doubled()).toEqual([]);
      const handshakes = [...world.load.handshakes.values()].reduce((sum, ids) => sum + ids.length, 0);
      const summary = [...counts].map(([fault, times]) => `${times} × ${fault}`).join(', ');
      const { acquisitions, commits } = world.witness;
      process.stdout.write(`${handshakes} handshakes, ${acquisitions} acquisitions, ${commits} commits; ${summary}\n`);
    } finally {
      await world.stop();
    }
  },
  SECONDS * 1000 + 180_000,
);

function* faults(): Generator<Fault> {
  const end = performance.now() + SECONDS * 1000;
  if (SECONDS === 0) yield* random.shuffled(FAULTS);
  else while (performance.now() < end) yield random.pick(FAULTS);
}

async function inject(world: World, fault: Fault): Promise<void> {
  const ingester = random.pick(world.ingesters);
  const forMs = random.below(5000);
  switch (fault) {
    case 'kill':
      await world.kill(ingester);
      await sleep(forMs);
      await world.add();
      break;
    case 'drain':
      await world.drain(ingester);
      await world.add();
      break;
    case 'freeze':
      world.freeze(ingester);
      await sleep(forMs);
      world.thaw(ingester);
      break;
    case 'cut Redis':
    case 'cut a master':
    case 'silence Redis':
      if (fault === 'cut Redis') ingester.redis.cut();
      else if (fault === 'cut a master') ingester.redis.cut(random.below(ingester.redis.masters));
      else ingester.redis.silence();
      await sleep(forMs);
      ingester.redis.heal();
      break;
    case 'cut broker':
      ingester.broker.cut();
      await sleep(forMs);
      ingester.broker.heal();
      break;
  }
}
