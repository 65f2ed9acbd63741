/**
 * Who should hold what: a pure function of the live members, what they hold, and how much there is (S5). Every
 * member computes it for itself; if two differ for a moment, the leases decide.
 */

import type { MemberHealth } from './member-health.js';

/** A member as the assignment sees it. */
export interface Holder {
  /** Unique; the order of ids breaks ties. */
  id: string;
  /** What it holds now. */
  holds: readonly number[];
  /** It keeps nothing and is given nothing. */
  draining: boolean;
  /** So does an `unfit` one if others are not. */
  fitness?: MemberHealth;
}

/**
 * Shares `count` resources out: balanced within one, each left where it is unless its holder is gone, draining,
 * unfit or has more than its share. Where nobody can take part, nothing is assigned.
 * @returns the member's id for each resource
 */
export function assign(members: readonly Holder[], count: number): (string | undefined)[] {
  const wanted = new Array<string | undefined>(count).fill(undefined);
  const shares = able(members)
    .map(({ id, holds }) => ({ id, holds, kept: [] as number[], quota: 0 }))
    .sort((a, b) => byText(a.id, b.id));
  if (shares.length === 0) return wanted;

  const taken = new Set<number>();
  for (const share of shares) {
    for (const index of share.holds.toSorted((a, b) => a - b)) {
      if (index >= count || taken.has(index)) continue;
      taken.add(index);
      share.kept.push(index);
    }
  }
  // The larger shares go to those who hold the most: each one more that stays is one less that moves.
  const mostFirst = shares.toSorted((a, b) => b.kept.length - a.kept.length || byText(a.id, b.id));
  const extra = count % shares.length;
  mostFirst.forEach((share, i) => (share.quota = Math.floor(count / shares.length) + (i < extra ? 1 : 0)));

  for (const { id, kept, quota } of shares) for (const index of kept.slice(0, quota)) wanted[index] = id;
  let next = 0;
  for (const { id, kept, quota } of shares) {
    for (let room = quota - kept.length; room > 0; room--) {
      while (wanted[next] !== undefined) next++;
      wanted[next] = id;
    }
  }
  return wanted;
}

/** Those who are given something. */
function able(members: readonly Holder[]): readonly Holder[] {
  const staying = members.filter(({ draining }) => !draining);
  const fit = staying.filter(({ fitness }) => fitness !== 'unfit');
  return fit.length > 0 ? fit : staying;
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
