/**
 * Streams that catch up read old events by themselves, and most of these may not match. So only a few streams of one caller
 * read at a time, the others wait in order: however many streams a caller opens, they cost as much as these few.
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
