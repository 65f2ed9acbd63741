import type { StreamEntry } from './shard-stream.js';

/** Entries of one shard in one read. */
const COUNT = { min: 16, max: 128 } as const;
/**
 * Entries of all shards together in one read, unless that is less than the least count of each. What a read brings is in memory
 * until all of it is committed; the longer that takes, the more of it the garbage collector moves to the old generation.
 */
const MOST_ENTRIES = 2048;
/** The most characters that all entries of one read may have together. */
const BUDGET = 32 * 1024 * 1024;

/**
 * The wait before the next read if the last one emptied all streams, and the last second was busy: entries that arrive within it
 * share one read and one commit.
 */
const GATHER_MS = 10;
/** With as many entries a second a reader is busy. With fewer, a wait would delay each of them and save little. */
const BUSY_ENTRIES = 2000;

/**
 * How many entries of a shard the next read asks for. XREAD limits the count of entries, not their size. So the count
 * doubles only while there is a backlog, and is limited by the average entry size of the last read.
 */
export class AdaptiveBatchSize {
  private current: number = COUNT.min;
  /** Entries of this second and of the one before. */
  private recent = { second: 0, entries: 0, before: 0 };

  get count(): number {
    return this.current;
  }

  /**
   * Sets the count of the next read from the batches of the last one.
   * @param now milliseconds of a clock that does not go back
   * @returns how many milliseconds to wait before the next read
   */
  recordRead(batches: readonly (readonly StreamEntry[])[], shardCount: number, now = performance.now()): number {
    const hasBacklog = batches.some((entries) => entries.length >= this.current);
    const most = Math.max(COUNT.min, Math.min(COUNT.max, Math.floor(MOST_ENTRIES / Math.max(1, shardCount))));
    const wanted = hasBacklog ? Math.min(most, this.current * 2) : COUNT.min;
    const largest = Math.max(0, ...batches.map((entries) => characters(entries) / entries.length));
    const affordable = Math.floor(BUDGET / (Math.max(1, largest) * Math.max(1, shardCount)));
    this.current = Math.max(1, Math.min(wanted, affordable));
    const isBusy = this.isBusy(batches, Math.floor(now / 1000));
    return isBusy && !hasBacklog ? GATHER_MS : 0;
  }

  private isBusy(batches: readonly (readonly StreamEntry[])[], second: number): boolean {
    const { recent } = this;
    if (second > recent.second) {
      this.recent = { second, entries: 0, before: second === recent.second + 1 ? recent.entries : 0 };
    }
    for (const entries of batches) this.recent.entries += entries.length;
    return Math.max(this.recent.entries, this.recent.before) >= BUSY_ENTRIES;
  }
}

function characters(entries: readonly StreamEntry[]): number {
  let sum = 0;
  for (const { text } of entries) sum += text.length;
  return sum;
}
