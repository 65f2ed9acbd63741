import { CatchUpTurns } from './catch-up-turns.js';

/** A read that the test ends or fails. */
class Read {
  began = false;
  private finish: () => void = () => undefined;
  private fail: (error: Error) => void = () => undefined;
  readonly done: Promise<void>;

  constructor(turns: CatchUpTurns, caller: string) {
    this.done = turns.take(caller, () => {
      this.began = true;
      return new Promise<void>((resolve, reject) => {
        this.finish = resolve;
        this.fail = reject;
      });
    });
  }

  async end(): Promise<void> {
    this.finish();
    await this.done;
  }

  async break(): Promise<void> {
    this.fail(new Error('away'));
    await expect(this.done).rejects.toThrow('away');
  }
}

function begun(reads: readonly Read[]): number[] {
  return reads.flatMap(({ began }, i) => (began ? i : []));
}

it('CatchUpTurns runs four reads of one caller at the same time, and the others in order, even after one that fails', async () => {
  const turns = new CatchUpTurns();
  const reads = Array.from({ length: 7 }, () => new Read(turns, 'a'));
  expect(begun(reads)).toEqual([0, 1, 2, 3]);
  await reads[2]?.end();
  expect(begun(reads)).toEqual([0, 1, 2, 3, 4]);
  await reads[0]?.break();
  expect(begun(reads)).toEqual([0, 1, 2, 3, 4, 5]);
  for (const i of [1, 3, 4, 5]) await reads[i]?.end();
  await reads[6]?.end();
  const again = Array.from({ length: 5 }, () => new Read(turns, 'a'));
  expect(begun(again)).toEqual([0, 1, 2, 3]);
  for (const read of again) await read.end();
});

it('CatchUpTurns lets no caller wait for another one', async () => {
  const turns = new CatchUpTurns();
  const reads = ['a', 'a', 'a', 'a', 'a', 'b'].map((caller) => new Read(turns, caller));
  expect(begun(reads)).toEqual([0, 1, 2, 3, 5]);
  for (const read of reads) await read.end();
});
