import fc from 'fast-check';
import { assign, type Holder } from './assignment.js';
import type { MemberHealth } from './member-health.js';

const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 });
/** Members that announce any holdings: overlapping ones, too many, none, or resources that do not exist. */
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
/** Members that hold what an earlier assignment assigned to them. */
const settled = fc.tuple(ids, fc.integer({ min: 0, max: 70 })).map(([names, count]) => ({
  count,
  members: follow(
    names.map((id) => ({ id, holds: [], draining: false })),
    count,
  ),
}));

function follow(members: readonly Holder[], count: number): Holder[] {
  const assigned = assign(members, count);
  return members.map((member) => ({
    ...member,
    holds: [...assigned.keys()].filter((index) => assigned[index] === member.id),
  }));
}

function eligibleOf(members: readonly Holder[]): Holder[] {
  const staying = members.filter(({ draining }) => !draining);
  const healthy = staying.filter(({ fitness }) => fitness !== 'unfit');
  return healthy.length === 0 ? staying : healthy;
}

function loads(assigned: readonly (string | undefined)[], members: readonly Holder[]): number[] {
  return members.map(({ id }) => assigned.filter((one) => one === id).length);
}

function moved(before: readonly (string | undefined)[], after: readonly (string | undefined)[]): number {
  return after.filter((id, index) => id !== before[index]).length;
}

describe('assign', () => {
  it('assigns everything to eligible members, and their shares differ by one at most, for any holdings', () => {
    fc.assert(
      fc.property(anyMembers, fc.integer({ min: 0, max: 70 }), (members, count) => {
        const assigned = assign(members, count);
        expect(assigned).toHaveLength(count);
        const eligible = eligibleOf(members);
        if (eligible.length === 0) {
          expect(assigned.every((id) => id === undefined)).toBe(true);
          return;
        }
        const counts = loads(assigned, eligible);
        expect(counts.reduce((sum, n) => sum + n, 0)).toBe(count);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('does not depend on the order of the members', () => {
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

  it('moves nothing if nothing has changed', () => {
    fc.assert(
      fc.property(settled, ({ members, count }) => {
        expect(moved(assign(members, count), assign(follow(members, count), count))).toBe(0);
      }),
    );
  });

  it('moves its share to a member that joins, and nothing else', () => {
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

  it.each(['leaves', 'drains'] as const)('moves what a member that %s held, and nothing else', (how) => {
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

  it('moves no more than balance needs, for any holdings', () => {
    fc.assert(
      fc.property(anyMembers, fc.integer({ min: 0, max: 70 }), (members, count) => {
        const eligible = eligibleOf(members).sort((a, b) => (a.id < b.id ? -1 : 1));
        fc.pre(eligible.length > 0);
        const taken = new Set<number>();
        const held = eligible.map(({ holds }) => {
          const own = holds.filter((index) => index < count && !taken.has(index));
          own.forEach((index) => taken.add(index));
          return own.length;
        });
        // The most that can stay: no member keeps more than its share, and those that hold the most have the larger shares.
        const floor = Math.floor(count / eligible.length);
        const larger = count % eligible.length;
        const stay = held
          .toSorted((a, b) => b - a)
          .reduce((sum, n, i) => sum + Math.min(n, floor + (i < larger ? 1 : 0)), 0);
        const assigned = assign(members, count);
        const holder = new Map<number, string>();
        for (const { id, holds } of eligible) for (const index of holds) if (!holder.has(index)) holder.set(index, id);
        const stayed = assigned.filter((id, index) => id !== undefined && holder.get(index) === id).length;
        expect(stayed).toBe(stay);
      }),
    );
  });
});
