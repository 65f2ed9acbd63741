/**
 * Sweeps in simulated time, of a broker whose readings are up to half a second old and whose messages come, go and expire
 * before and during the sweep.
 */
import fc from 'fast-check';
import { Random } from '../../../../test/support/random.js';
import { SweepCompletion, type Completion } from './sweep-completion.js';
import { FIRST_QUIET_MS, LATER_QUIET_MS } from './sweep-reading.js';
import { SEVERAL_PASSES, SweepTopics } from './sweep-topics.js';

const LAG_MS = 499;
/** How long a pass takes until the sentinel comes. */
const READ_MS = 400;
const MOST_TOPICS = 8;

interface Change {
  /** Since the sweep began. */
  readonly at: number;
  /** Undefined: nothing is retained any more. */
  readonly text: number | undefined;
  /** Nothing is published if a message expires. */
  readonly isPublished: boolean;
}

/** What is retained on one topic: first and by later changes, in order. */
interface History {
  readonly first: number | undefined;
  readonly changes: readonly Change[];
}

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    at: fc.integer({ min: -2 * LAG_MS, max: 8000 }),
    text: fc.option(fc.nat(3), { nil: undefined }),
    isPublished: fc.constant(true),
  }),
  fc.record({
    at: fc.integer({ min: -LAG_MS, max: 8000 }),
    text: fc.constant(undefined),
    isPublished: fc.constant(false),
  }),
);
const history: fc.Arbitrary<History> = fc.record({
  first: fc.option(fc.nat(3), { nil: undefined }),
  changes: fc.array(change, { maxLength: 6 }).map((all) => all.toSorted((a, b) => a.at - b.at)),
});

interface Swept {
  readonly completion: Completion | undefined;
  readonly passes: number;
  readonly seen: readonly number[];
}

/** @returns what a sweep brings whose readings of each topic are as old as chance has it */
function sweep(topics: readonly History[], random: Random): Swept {
  const [known, sweeping, seen] = [new SweepTopics(), new SweepCompletion(), new Set<number>()];
  let begun = 0;
  for (let passes = 1; ; passes++) {
    const events = [
      ...topics.map((_, topic) => ({ at: begun + random.below(READ_MS), topic, isReading: true })),
      ...topics.flatMap(({ changes }, topic) =>
        changes.flatMap(({ at, isPublished }) => (isPublished ? [{ at, topic, isReading: false }] : [])),
      ),
    ];
    const isFirst = passes === 1;
    const ended = begun + READ_MS + (isFirst ? FIRST_QUIET_MS : LATER_QUIET_MS);
    known.begin();
    for (const { at, topic, isReading } of events.toSorted((a, b) => a.at - b.at)) {
      if (at < begun || at >= ended) continue;
      const name = `topic ${topic}`;
      if (!isReading) {
        known.change(name);
        continue;
      }
      const text = textAt(topics[topic], at - random.below(LAG_MS + 1));
      if (text === undefined) continue;
      seen.add(topic);
      if (!known.again(name, text) && !known.isPresent(name)) known.add(name, text);
    }
    const { fresh, missed, readByFew } = known;
    const completion = sweeping.after({ complete: true, fresh, missed, readByFew });
    if (completion !== undefined) return { completion, passes, seen: [...seen] };
    begun = ended;
  }
}

function textAt(of: History | undefined, at: number): number | undefined {
  const last = of?.changes.findLast((one) => one.at <= at);
  return last === undefined ? of?.first : last.text;
}

function stays({ first, changes }: History): boolean {
  return first !== undefined && changes.length === 0;
}

it('a sweep of a broker that drops nothing is complete after a few passes, however old its readings are', () => {
  fc.assert(
    fc.property(fc.array(history, { maxLength: MOST_TOPICS }), fc.nat(), (topics, seed) => {
      const { completion, passes, seen } = sweep(topics, new Random(seed));
      expect(completion).toEqual({ complete: true });
      expect(passes).toBeLessThanOrEqual(2 * SEVERAL_PASSES);
      topics.forEach((one, topic) => {
        if (stays(one)) expect(seen).toContain(topic);
      });
    }),
    { numRuns: 2000 },
  );
});
