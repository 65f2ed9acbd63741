/**
 * Streams that catch up read by themselves what all others have read already, and most of it may not match. So of one
 * caller's streams a few read at a time, and the others in the order in which they came: however many a caller opens, and
 * from however long ago, they cost as much as these few.
 */

/** Reads of one caller at a time. */
const AT_ONCE = 4;

interface Turns {
  reading: number;
  waiting: (() => void)[];
}

export class CatchUpTurns {
  private readonly callers = new Map<string, Turns>();

  /** Reads when it is this caller's turn. At most one read of each open stream waits. */
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
