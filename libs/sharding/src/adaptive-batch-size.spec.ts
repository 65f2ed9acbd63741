import fc from 'fast-check';
import type { MailboxEntry } from './mailbox.js';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';

const BUDGET = 32 * 1024 * 1024;

function entries(count: number, characters: number): MailboxEntry[] {
  const text = 'x'.repeat(characters);
  return Array.from({ length: count }, (_, i) => ({ id: `${i}-0`, text }));
}

it('the batch size grows with a backlog of small entries, and falls without one', () => {
  const size = new AdaptiveBatchSize();
  const counts: number[] = [];
  for (let i = 0; i < 5; i++) {
    counts.push(size.count);
    size.recordRead([entries(size.count, 100), entries(1, 100)], 8);
  }
  expect(counts).toEqual([16, 32, 64, 128, 128]);
  size.recordRead([entries(127, 100)], 8);
  expect(size.count).toBe(16);
});

it.each([
  [16, 128],
  [32, 64],
  [100, 20],
  [1000, 16],
])('with %i shards the batch size grows to %i, since what all of them read is in memory', (shards, most) => {
  const size = new AdaptiveBatchSize();
  for (let i = 0; i < 5; i++) size.recordRead([entries(size.count, 100)], shards);
  expect(size.count).toBe(most);
});

it('the next read waits only after a busy second, and if there is no backlog', () => {
  const size = new AdaptiveBatchSize();
  const read = (count: number, now: number): number => {
    size.recordRead([], 32, now);
    return size.recordRead([entries(count, 1)], 32, now);
  };
  expect(read(1, 5000)).toBe(0);
  for (let n = 1; n < 1999; n++) expect(read(1, 5500)).toBe(0);
  expect(read(1, 5900)).toBeGreaterThan(0);
  expect(read(16, 5990)).toBe(0);
  // The last second was busy, the one before the last does not count.
  expect(read(1, 6999)).toBeGreaterThan(0);
  expect(read(1, 7000)).toBe(0);
  expect(read(1, 9000)).toBe(0);
});

it('the batch size falls to one if a single entry of each shard fills the budget', () => {
  const size = new AdaptiveBatchSize();
  size.recordRead([entries(16, 1024 * 1024)], 64);
  expect(size.count).toBe(1);
});

it('the batch size keeps the next read within the budget if its entries are like the last ones', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4096 }),
      fc.array(fc.integer({ min: 0, max: 1024 * 1024 }), { minLength: 1, maxLength: 8 }),
      (shards, sizes) => {
        const size = new AdaptiveBatchSize();
        for (const characters of sizes) {
          size.recordRead([entries(size.count, characters)], shards);
          const next = size.count * shards * characters;
          expect(size.count === 1 || next <= BUDGET).toBe(true);
          expect(size.count).toBeGreaterThanOrEqual(1);
        }
      },
    ),
  );
});
