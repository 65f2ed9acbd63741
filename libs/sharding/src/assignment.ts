/**
 * Which member should hold which shard or lane: a pure function of the live members, of what they hold, and of the number
 * of resources (S5). Every member computes it for itself. If two members get different results for a moment, the leases
 * decide.
 */
import type { MemberHealth } from './member-health.js';

/** A member as the assignment sees it. */
export interface Holder {
  /** Unique. The order of ids breaks ties. */
  id: string;
  /** Indices of the resources that it holds now. */
  holds: readonly number[];
  /** A draining member is assigned nothing. */
  draining: boolean;
  /** An `unfit` member is assigned nothing, unless all members that are not draining are unfit. */
  fitness?: MemberHealth;
}

/**
 * Assigns `count` resources. The shares of two members differ by one at most. A resource stays with its holder unless the
 * holder has left, is draining or unfit, or holds more than its share. If no member is eligible, nothing is assigned.
 * @returns the member id for each resource
 */
export function assign(members: readonly Holder[], count: number): (string | undefined)[] {
  const assigned = new Array<string | undefined>(count).fill(undefined);
  const shares = eligible(members)
    .map(({ id, holds }) => ({ id, holds, kept: [] as number[], quota: 0 }))
    .sort((a, b) => byText(a.id, b.id));
  if (shares.length === 0) return assigned;

  const seen = new Set<number>();
  for (const share of shares) {
    for (const index of share.holds.toSorted((a, b) => a - b)) {
      if (index >= count || seen.has(index)) continue;
      seen.add(index);
      share.kept.push(index);
    }
  }
  // The members that hold the most get the larger shares: that moves the fewest resources.
  const mostFirst = shares.toSorted((a, b) => b.kept.length - a.kept.length || byText(a.id, b.id));
  const extra = count % shares.length;
  mostFirst.forEach((share, i) => (share.quota = Math.floor(count / shares.length) + (i < extra ? 1 : 0)));

  for (const { id, kept, quota } of shares) for (const index of kept.slice(0, quota)) assigned[index] = id;
  let next = 0;
  for (const { id, kept, quota } of shares) {
    for (let missing = quota - kept.length; missing > 0; missing--) {
      while (assigned[next] !== undefined) next++;
      assigned[next] = id;
    }
  }
  return assigned;
}

function eligible(members: readonly Holder[]): readonly Holder[] {
  const staying = members.filter(({ draining }) => !draining);
  const healthy = staying.filter(({ fitness }) => fitness !== 'unfit');
  return healthy.length > 0 ? healthy : staying;
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
