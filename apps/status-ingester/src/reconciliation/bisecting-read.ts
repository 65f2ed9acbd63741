/**
 * Reads many items at once. If a read fails, its halves are read separately, down to a single item: so an item that the broker
 * cannot serve does not prevent the others from being read.
 */

/** The outcome of each item. `untried`: not read, because of an error that `isPermanent`, which is `cause`. */
export interface BisectedRead<Item, Result> {
  read: { items: readonly Item[]; result: Result }[];
  failed: { item: Item; error: unknown }[];
  untried: readonly Item[];
  cause?: unknown;
}

export async function bisectingRead<Item, Result>(
  items: readonly Item[],
  read: (items: readonly Item[]) => Promise<Result>,
  isPermanent: (error: unknown) => boolean,
): Promise<BisectedRead<Item, Result>> {
  const outcome = { read: [], failed: [], untried: [] } as BisectedRead<Item, Result>;
  const stack: (readonly Item[])[] = [items];
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    const [only] = part;
    if (only === undefined) continue;
    try {
      outcome.read.push({ items: part, result: await read(part) });
    } catch (error) {
      if (isPermanent(error)) return { ...outcome, untried: [part, ...stack].flat(), cause: error };
      const half = part.length / 2;
      if (part.length === 1) outcome.failed.push({ item: only, error });
      else stack.push(part.slice(half), part.slice(0, half));
    }
  }
  return outcome;
}
