import type { StreamEntry } from './shard-stream.js';

/** Entries of one shard in one read. */
const COUNT = { first: 16, most: 128 } as const;
/** Characters of all entries of one read. */
const BUDGET = 32 * 1024 * 1024;

/** Shortest time from a read that brought all there was to the next: what comes in between shares a read and a commit. */
const GATHER_MS = 10;

/**
 * How many entries of a shard the next read may bring. Redis can be told a count and no size, so the count grows only
 * while a backlog of small entries proves them small, and shrinks with what the last read brought.
 */
export class AdaptiveBatchSize {
  private now: number = COUNT.first;

  get count(): number {
    return this.now;
  }

  /**
   * Notes what a read of so many shards has brought.
   * @returns after how many milliseconds the next one is worth it
   */
  brought(batches: readonly (readonly StreamEntry[])[], shards: number): number {
    const backlog = batches.some((entries) => entries.length >= this.now);
    const wanted = backlog ? Math.min(COUNT.most, this.now * 2) : COUNT.first;
    const largest = Math.max(0, ...batches.map((entries) => characters(entries) / entries.length));
    const room = Math.floor(BUDGET / (Math.max(1, largest) * Math.max(1, shards)));
    this.now = Math.max(1, Math.min(wanted, room));
    return backlog ? 0 : GATHER_MS;
  }
}

function characters(entries: readonly StreamEntry[]): number {
  let sum = 0;
  for (const { text } of entries) sum += text.length;
  return sum;
}
