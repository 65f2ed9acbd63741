import fc from 'fast-check';
import { assign, type Holder } from './assignment.js';
import type { MemberHealth } from './member-health.js';

const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 });
/** Members that hold whatever they believe to hold: overlapping, too much, nothing, or what does not exist. */
const anyMembers = ids.chain((names) =>
  fc.tuple(
    ...names.map((id) =>
      fc.record({
        id: fc.constant(id),
        holds: fc.uniqueArray(fc.nat(80)),
        draining: fc.boolean(),
        fitness: fc.constantFrom<MemberHealth[]>('fit', 'troubled', 'unfit'),
      }),
    ),
  ),
);
/** Members that hold what an earlier assignment gave them. */
const settled = fc.tuple(ids, fc.integer({ min: 0, max: 70 })).map(([names, count]) => ({
  count,
  members: follow(
    names.map((id) => ({ id, holds: [], draining: false })),
    count,
  ),
}));

function follow(members: readonly Holder[], count: number): Holder[] {
  const wanted = assign(members, count);
  return members.map((member) => ({
    ...member,
    holds: [...wanted.keys()].filter((index) => wanted[index] === member.id),
  }));
}

function ableOf(members: readonly Holder[]): Holder[] {
  const staying = members.filter(({ draining }) => !draining);
  const fit = staying.filter(({ fitness }) => fitness !== 'unfit');
  return fit.length === 0 ? staying : fit;
}

function loads(wanted: readonly (string | undefined)[], members: readonly Holder[]): number[] {
  return members.map(({ id }) => wanted.filter((one) => one === id).length);
}

function moved(before: readonly (string | undefined)[], after: readonly (string | undefined)[]): number {
  return after.filter((id, index) => id !== before[index]).length;
}

describe('the assignment', () => {
  it('gives everything to members that are not draining, and fit where any is, balanced within one, whatever they hold', () => {
    fc.assert(
      fc.property(anyMembers, fc.integer({ min: 0, max: 70 }), (members, count) => {
        const wanted = assign(members, count);
        expect(wanted).toHaveLength(count);
        const able = ableOf(members);
        if (able.length === 0) {
          expect(wanted.every((id) => id === undefined)).toBe(true);
          return;
        }
        const counts = loads(wanted, able);
        expect(counts.reduce((sum, n) => sum + n, 0)).toBe(count);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('is the same for every member, in whatever order it has heard of the others', () => {
    fc.assert(
      fc.property(
        anyMembers.chain((members) =>
          fc.tuple(fc.constant(members), fc.shuffledSubarray(members, { minLength: members.length })),
        ),
        fc.integer({ min: 0, max: 70 }),
        ([members, shuffled], count) => expect(assign(shuffled, count)).toEqual(assign(members, count)),
      ),
    );
  });

  it('moves nothing where nothing has changed', () => {
    fc.assert(
      fc.property(settled, ({ members, count }) => {
        expect(moved(assign(members, count), assign(follow(members, count), count))).toBe(0);
      }),
    );
  });

  it('moves to a member that joins its share, and nothing else', () => {
    fc.assert(
      fc.property(settled, fc.string({ minLength: 7, maxLength: 8 }), ({ members, count }, id) => {
        const before = assign(members, count);
        const after = assign([...members, { id, holds: [], draining: false }], count);
        const share = after.filter((owner) => owner === id).length;
        expect(share).toBe(Math.floor(count / (members.length + 1)));
        expect(moved(before, after)).toBe(share);
      }),
    );
  });

  it.each(['leaves', 'drains'] as const)('moves what a member that %s had, and nothing else', (how) => {
    fc.assert(
      fc.property(settled, fc.nat(), ({ members, count }, pick) => {
        fc.pre(members.length > 1);
        const gone = members[pick % members.length];
        const after = assign(
          how === 'leaves'
            ? members.filter((one) => one !== gone)
            : members.map((one) => ({ ...one, draining: one === gone })),
          count,
        );
        expect(moved(assign(members, count), after)).toBe(gone?.holds.length);
      }),
    );
  });

  it('moves no more than balance asks for, whatever is held', () => {
    fc.assert(
      fc.property(anyMembers, fc.integer({ min: 0, max: 70 }), (members, count) => {
        const able = ableOf(members).sort((a, b) => (a.id < b.id ? -1 : 1));
        fc.pre(able.length > 0);
        const taken = new Set<number>();
        const held = able.map(({ holds }) => {
          const own = holds.filter((index) => index < count && !taken.has(index));
          own.forEach((index) => taken.add(index));
          return own.length;
        });
        // The most that can stay: each keeps its share at most, the larger shares with those who hold most.
        const floor = Math.floor(count / able.length);
        const larger = count % able.length;
        const stay = held
          .toSorted((a, b) => b - a)
          .reduce((sum, n, i) => sum + Math.min(n, floor + (i < larger ? 1 : 0)), 0);
        const wanted = assign(members, count);
        const holder = new Map<number, string>();
        for (const { id, holds } of able) for (const index of holds) if (!holder.has(index)) holder.set(index, id);
        const stayed = wanted.filter((id, index) => id !== undefined && holder.get(index) === id).length;
        expect(stayed).toBe(stay);
      }),
    );
  });
});
