/**
 * Behind random mixtures of behaviours, which change while devices come and go, nobody is offline wrongly, and the registry
 * becomes equal to what the broker retains. `TEST_SEED` replays the choices. `MIXTURE_ROUNDS` makes the test longer.
 */
import { acknowledgementsLost, noSubscribersHidden } from '../support/contrary/acknowledgements.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { SENTINEL } from '../support/contrary/catalogue.js';
import { FLASHMQ_LIMITS, HIVEMQ_LIMITS, granted, sometimesRefusedConnects } from '../support/contrary/connects.js';
import { dupDropped, newPacketIds } from '../support/contrary/redelivery.js';
import { dropsInMidRead, pausesInMidRead, sometimesLostRetained } from '../support/contrary/retained-losses.js';
import { randomOrder, sentinelFirst } from '../support/contrary/retained-order.js';
import { silentAfter } from '../support/contrary/shared-subscriptions.js';
import { Random, seedOfRun } from '../support/random.js';
import { ContraryStack, onLanes } from './contrary-stack.js';

const seed = seedOfRun();
const ROUNDS = Number(process.env['MIXTURE_ROUNDS'] ?? 2);
const MOST_AT_A_TIME = 4;

/** Each is made again for each mixture. */
const INGREDIENTS: Readonly<Record<string, (random: Random, stack: ContraryStack) => Behaviour>> = {
  'sentinel first': () => sentinelFirst,
  'random order': (random) => randomOrder(random),
  'sentinel lost': (random) => sometimesLostRetained(SENTINEL, 5, random),
  'no subscribers hidden': () => noSubscribersHidden,
  'retained late': (_, stack) => stack.history.late,
  'retained stale': (_, stack) => stack.history.stale,
  'pauses in mid read': (random) => pausesInMidRead(random.below(500), 2),
  'drops in mid read': (random) => dropsInMidRead(random.below(12), random),
  'connects refused': (random) => sometimesRefusedConnects(3, random),
  'acknowledgements lost': (random) => acknowledgementsLost((id) => id.endsWith(`-lane-${random.below(2)}`)),
  'dup dropped': () => dupDropped,
  'new packet ids': (random) => newPacketIds(random),
  'silent lane': (random) => onLanes(silentAfter(random.below(12), 1)),
  'limits of HiveMQ': () => granted(HIVEMQ_LIMITS),
  'limits of FlashMQ': () => granted(FLASHMQ_LIMITS),
};

let stack: ContraryStack;

beforeAll(async () => {
  stack = await ContraryStack.start();
});

afterEach(() => stack.endDevices());

afterAll(() => stack.stop());

function mixture(random: Random): string[] {
  return random.shuffled(Object.keys(INGREDIENTS)).slice(0, 1 + random.below(MOST_AT_A_TIME));
}

/** All connections of the apps begin again behind this mixture. */
function behave(names: readonly string[], random: Random): void {
  stack.behave(...names.flatMap((name) => INGREDIENTS[name]?.(random, stack) ?? []));
}

const rounds = Array.from({ length: ROUNDS }, (_, round) => {
  const random = new Random(seed + round);
  return { round, random, before: mixture(random), during: mixture(random), after: mixture(random) };
});

describe(`behind a broker with a mixture of behaviours (seed ${seed}), nobody is offline wrongly`, () => {
  it.each(rounds)(
    'in round $round, behind $before, then $during, then $after',
    async ({ round, random, before, during, after }) => {
      behave(before, random);
      const all = await stack.devicesOnline(`mixed-${round}`);
      const playing = stack.play(all);
      playing.catch(() => undefined);
      // While a device gets its message, and others leave.
      await all.shakeHands(all.staying[8] ?? '');
      behave(during, random);
      await playing;
      behave(after, random);
      await stack.sweep();
      await stack.untilRight(all);
    },
  );
});
