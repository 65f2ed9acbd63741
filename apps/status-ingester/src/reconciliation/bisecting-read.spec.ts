import fc from 'fast-check';
import { bisectingRead } from './bisecting-read.js';

const away = new Error('the broker is away');
const choked = new Error('the broker chokes');

it('a bisecting read reads every client except those that make a read fail', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(500), { maxLength: 100 }), fc.func(fc.boolean()), async (items, isBad) => {
      const read = (part: readonly number[]): Promise<number> =>
        part.some((one) => isBad(one)) ? Promise.reject(choked) : Promise.resolve(part.length);
      const { read: good, failed, untried } = await bisectingRead(items, read, () => false);
      expect(good.flatMap((one) => one.items).toSorted()).toEqual(items.filter((one) => !isBad(one)).toSorted());
      expect(failed.map(({ item }) => item).toSorted()).toEqual(items.filter((one) => isBad(one)).toSorted());
      expect(untried).toEqual([]);
    }),
  );
});

it('a bisecting read needs far fewer reads than one per client', async () => {
  const read = jest.fn((part: readonly number[]) => (part.includes(77) ? Promise.reject(choked) : Promise.resolve()));
  await bisectingRead(
    Array.from({ length: 200 }, (_, i) => i),
    read,
    () => false,
  );
  expect(read.mock.calls.length).toBeLessThan(20);
});

it('a bisecting read stops when another attempt is useless, and names the clients it did not try', async () => {
  const answers = [Promise.reject(choked), Promise.resolve('ab'), Promise.reject(away)];
  await Promise.allSettled(answers);
  const read = (): Promise<string> => answers.shift() ?? Promise.reject(new Error('asked once too often'));
  expect(await bisectingRead(['a', 'b', 'c', 'd'], read, (error) => error === away)).toEqual({
    read: [{ items: ['a', 'b'], result: 'ab' }],
    failed: [],
    untried: ['c', 'd'],
    cause: away,
  });
});
