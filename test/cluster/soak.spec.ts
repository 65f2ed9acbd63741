/** Random kills, freezes, cuts and drains for `SOAK_SECONDS`, under load: nothing is lost, and nothing doubled. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random, seedOfRun } from '../support/random.js';
import { World } from './support/world.js';

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60);
const VERIFY_EVERY_MS = 30_000;

const random = new Random(seedOfRun());

it(
  `survives ${SECONDS} seconds of faults`,
  async () => {
    const world = await World.start({ ingesters: 3, lanes: 1, clients: 60, random });
    const done = new Map<string, number>();
    const end = performance.now() + SECONDS * 1000;
    let verifyAt = performance.now() + VERIFY_EVERY_MS;
    try {
      while (performance.now() < end) {
        const one = random.pick(world.ingesters);
        const what = random.pick([
          'kill',
          'freeze',
          'cut Redis',
          'silence Redis',
          'cut a master',
          'cut broker',
          'drain',
        ] as const);
        done.set(what, (done.get(what) ?? 0) + 1);
        const forMs = random.below(5000);
        switch (what) {
          case 'kill':
            await world.kill(one);
            await sleep(forMs);
            await world.add();
            break;
          case 'drain':
            await world.drain(one);
            await world.add();
            break;
          case 'freeze':
            world.freeze(one);
            await sleep(forMs);
            world.thaw(one);
            break;
          case 'cut Redis':
          case 'cut a master':
          case 'silence Redis':
            if (what === 'cut Redis') one.redis.cut();
            else if (what === 'cut a master') one.redis.cut(random.below(one.redis.masters));
            else one.redis.silence();
            await sleep(forMs);
            one.redis.heal();
            break;
          case 'cut broker':
            one.broker.cut();
            await sleep(forMs);
            one.broker.heal();
            break;
        }
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
      const faults = [...done].map(([what, times]) => `${times} × ${what}`).join(', ');
      const { acquisitions, commits } = world.witness;
      process.stdout.write(`${handshakes} handshakes, ${acquisitions} acquisitions, ${commits} commits; ${faults}\n`);
    } finally {
      await world.stop();
    }
  },
  SECONDS * 1000 + 180_000,
);
