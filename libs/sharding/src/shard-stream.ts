/** A stream that every shard has, such as its mailbox, and the port that reads the streams of many shards together. */

export interface StreamEntry {
  /** Stream id, `<milliseconds>-<number>`. */
  id: string;
  /** The largest part of the entry: batch sizes are computed from its length. */
  text: string;
}

/** The key of each shard's stream, and the decoder of its entries. */
export interface ShardStreams<Entry extends StreamEntry> {
  key(shard: number): string;
  decode(id: string, fields: readonly string[]): Entry;
}

/** Handles one shard's entries, in order. Never rejects. */
export type OnBatch<Entry> = (shard: number, entries: readonly Entry[]) => Promise<void>;

export interface StreamReader<Entry> {
  /**
   * Reads the entries after these positions once, and passes each shard's batch to `onBatch`. Resolves after a short wait
   * if there are none. A shard is not read again before `onBatch` has settled for its last batch.
   */
  read(positions: ReadonlyMap<number, string>, onBatch: OnBatch<Entry>): Promise<void>;
  /** Ends the wait for entries, so that the next read can begin with further shards. */
  interrupt(): void;
}
