/**
 * Verifications with a broker that delivers messages up to half a second before it retains them, and some of them again without
 * DUP, in simulated time.
 */
import fc from 'fast-check';
import { LaggingWorld } from '../../../../test/support/lagging-world.js';
import { Random } from '../../../../test/support/random.js';
import { GOODBYE, WILL, handshake } from '../../../../test/support/shard-world.js';

interface Step {
  readonly afterMs: number;
  /** Publishes a handshake or this text, requests a verification, or delivers the last messages of the lane again. */
  readonly act: string;
  readonly lane: number;
  readonly redelivered: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  afterMs: fc.oneof(fc.nat(60), fc.nat(1200)),
  act: fc.constantFrom('handshake', 'handshake', WILL, '', GOODBYE, 'verify', 'redeliver'),
  lane: fc.nat(2),
  redelivered: fc.integer({ min: 1, max: 4 }),
});
const scripts = fc.array(step, { maxLength: 25, size: 'max' });
/** More than everything takes that is under way when a script ends. */
const REST_MS = 10_000;

beforeEach(() => jest.useFakeTimers({ now: 1_000_000 }));
afterEach(() => jest.useRealTimers());

async function play(world: LaggingWorld, script: readonly Step[], lanes: number): Promise<void> {
  let handshakes = 0;
  for (const { afterMs, act, lane, redelivered } of script) {
    await jest.advanceTimersByTimeAsync(afterMs);
    if (act === 'verify') world.requestVerification();
    else if (act === 'redeliver') world.redeliver(redelivered, lane % lanes);
    else world.publish(act === 'handshake' ? handshake(`h${++handshakes}`) : act, act !== GOODBYE, lane % lanes);
  }
  await jest.advanceTimersByTimeAsync(REST_MS);
}

it.each([1, 2, 3])('with %i lanes, registry and broker agree in the end without a sweep', async (lanes) => {
  await fc.assert(
    fc.asyncProperty(scripts, fc.nat(), async (script, seed) => {
      const world = new LaggingWorld(lanes, new Random(seed));
      await play(world, script, lanes);
      expect(world.isPending).toBe(false);
      expect(world.agrees()).toBe(true);
      await world.stop();
    }),
    { numRuns: 300 },
  );
});

it('with one lane, no reading takes a client offline by a text that had been replaced before', async () => {
  await fc.assert(
    fc.asyncProperty(scripts, fc.nat(), fc.boolean(), async (script, seed, isOnline) => {
      const world = new LaggingWorld(1, new Random(seed));
      // The lane missed what was retained before.
      world.retainUnheard(isOnline ? handshake('missed') : WILL);
      await play(world, script, 1);
      world.requestVerification();
      await jest.advanceTimersByTimeAsync(REST_MS);
      expect(world.wrong).toEqual([]);
      expect(world.agrees()).toBe(true);
      await world.stop();
    }),
    { numRuns: 300 },
  );
});
