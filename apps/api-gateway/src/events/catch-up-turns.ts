/**
 * Bounds what one caller costs Redis with streams that catch up: they may read many old events of which few match. Only a few
 * streams of a caller read at the same time; the others wait in order. Callers do not wait for each other.
 */

/** Reads of one caller at the same time. */
const AT_ONCE = 4;

interface Turns {
  reading: number;
  waiting: (() => void)[];
}

export class CatchUpTurns {
  private readonly callers = new Map<string, Turns>();

  /** Calls `read` when it is the caller's turn. At most one read of each open stream waits. */
  async take<Result>(caller: string, read: () => Promise<Result>): Promise<Result> {
    let turns = this.callers.get(caller);
    if (turns === undefined) this.callers.set(caller, (turns = { reading: 0, waiting: [] }));
    const { waiting } = turns;
    if (turns.reading < AT_ONCE) turns.reading++;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await read();
    } finally {
      const next = waiting.shift();
      if (next !== undefined) next();
      else if (--turns.reading === 0) this.callers.delete(caller);
    }
  }
}
