/** A stream of each shard, such as its mailbox, and how the streams of many shards are read together. */

export interface StreamEntry {
  /** Stream id, `<milliseconds>-<number>`. */
  id: string;
  /** Most of its size. */
  text: string;
}

/** The streams of one kind: where each lies, and what its entries are. */
export interface ShardStreams<Entry extends StreamEntry> {
  key(shard: number): string;
  decode(id: string, fields: readonly string[]): Entry;
}

/** Takes one shard's entries, in order; never rejects. */
export type OnBatch<Entry> = (shard: number, entries: readonly Entry[]) => Promise<void>;

export interface StreamReader<Entry> {
  /**
   * Reads once what comes after each of these positions, and delivers it. Resolves soon if there is nothing; a
   * shard's next entries are not read before the last ones have been taken.
   */
  read(positions: ReadonlyMap<number, string>, deliver: OnBatch<Entry>): Promise<void>;
}
