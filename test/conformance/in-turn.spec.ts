import { inTurn } from './in-turn.mjs';

test('so many at the same time, and the results in the order of the items', async () => {
  const running = new Map<string, () => void>();
  const started: string[] = [];
  const all = inTurn(['a', 'b', 'c'], 2, async (item) => {
    started.push(item);
    await new Promise<void>((resolve) => running.set(item, resolve));
    return item.toUpperCase();
  });
  expect(started).toEqual(['a', 'b']);
  running.get('b')?.();
  await new Promise(setImmediate);
  expect(started).toEqual(['a', 'b', 'c']);
  running.get('c')?.();
  running.get('a')?.();
  expect(await all).toEqual(['A', 'B', 'C']);
});

test('all at the same time if there is no limit', async () => {
  let running = 0;
  const act = async (): Promise<number> => {
    running++;
    await new Promise(setImmediate);
    return running;
  };
  expect(await inTurn([1, 2, 3], undefined, act)).toEqual([3, 3, 3]);
});
