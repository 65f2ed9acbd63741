/** Finds the word that was probably meant. */

/** Most letters that may be wrong. */
const MOST_CHANGES = 3;

/** The word that differs least; undefined if none is near. */
export function nearWord(wrong: string, known: readonly string[]): string | undefined {
  const found = known
    .map((word) => ({ word, changes: changesBetween(wrong, word) }))
    .filter(({ changes }) => changes <= MOST_CHANGES);
  return found.sort((a, b) => a.changes - b.changes)[0]?.word;
}

/** How many letters have to be added, removed or replaced (Levenshtein). */
function changesBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (const [i, letter] of Array.from(from).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(to).entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
