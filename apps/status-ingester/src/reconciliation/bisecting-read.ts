/**
 * Reads many items at once. A read that fails is repeated in halves, down to a single item: so one item that the broker
 * cannot serve does not keep the others from being read.
 */

/** The outcome of each item; `untried`: `hopeless` said that further reads make no sense. */
export interface BisectedRead<Item, Result> {
  read: { items: readonly Item[]; result: Result }[];
  failed: { item: Item; error: unknown }[];
  untried: readonly Item[];
}

export async function bisectingRead<Item, Result>(
  items: readonly Item[],
  read: (items: readonly Item[]) => Promise<Result>,
  hopeless: (error: unknown) => boolean,
): Promise<BisectedRead<Item, Result>> {
  const outcome = { read: [], failed: [], untried: [] } as BisectedRead<Item, Result>;
  const open: (readonly Item[])[] = [items];
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    const [only] = part;
    if (only === undefined) continue;
    try {
      outcome.read.push({ items: part, result: await read(part) });
    } catch (error) {
      if (hopeless(error)) return { ...outcome, untried: [part, ...open].flat() };
      const half = part.length / 2;
      if (part.length === 1) outcome.failed.push({ item: only, error });
      else open.push(part.slice(half), part.slice(0, half));
    }
  }
  return outcome;
}
