/** Percentiles of times that are counted by upper limits. */

/**
 * The limit that a share of the times does not exceed; undefined if there are no times.
 * @param limits upper limits, rising
 * @param counts for each limit, how many times are at most that, and more than the limit before
 */
export function percentile(limits: readonly number[], counts: readonly number[], share: number): number | undefined {
  const all = counts.reduce((sum, count) => sum + count, 0);
  let passed = 0;
  for (const [i, count] of counts.entries()) {
    passed += count;
    if (all > 0 && passed >= share * all) return limits[i];
  }
  return undefined;
}
