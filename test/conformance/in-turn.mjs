/**
 * Does something for each item, for so many of them at the same time.
 * @template T, R
 * @param {readonly T[]} items @param {number | undefined} atOnce all by default @param {(item: T) => Promise<R>} act
 * @returns {Promise<R[]>} in the order of the items
 */
export async function inTurn(items, atOnce = items.length, act) {
  /** @type {R[]} */
  const results = [];
  const waiting = [...items.entries()];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) results[next[0]] = await act(next[1]);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
