import { setTimeout as sleep } from 'node:timers/promises';
import { within, type Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { OnBatch, StreamEntry, StreamReader, ShardStreams } from './shard-stream.js';

/** The wait after a round that found nothing; it doubles from `min` to `max`. */
const WAIT_MS = { min: 1, max: 25 } as const;
/** The most reads a second while all streams are empty, for any number of shards. */
const IDLE_READS_PER_SECOND = 4000;
/** The longest time that a round waits for a slow node, or for a batch that is still being handled. */
const ROUND_MS = 100;

/**
 * Polls all streams in rounds: one XREAD a stream, all sent together. Between rounds it waits; the wait doubles with each
 * round that finds nothing. A shard that a round did not wait for goes on by itself, and the next rounds leave it out
 * until it is done. So a node that does not answer delays only its own shards.
 */
export class PollingReader<Entry extends StreamEntry> implements StreamReader<Entry> {
  private readonly busy = new Set<number>();
  private waitMs: number = WAIT_MS.min;
  private failure: Error | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly streams: ShardStreams<Entry>,
    private readonly batchSize: Pick<AdaptiveBatchSize, 'count' | 'recordRead'> = new AdaptiveBatchSize(),
  ) {}

  async read(positions: ReadonlyMap<number, string>, onBatch: OnBatch<Entry>): Promise<void> {
    const batches: Entry[][] = [];
    const round = [...positions].map(async ([shard, position]) => {
      if (this.busy.has(shard)) return;
      this.busy.add(shard);
      try {
        const entries = await this.readOne(shard, position);
        if (entries.length === 0) return;
        batches.push(entries);
        await onBatch(shard, entries);
      } catch (error) {
        this.failure = error instanceof Error ? error : new Error(String(error));
      } finally {
        this.busy.delete(shard);
      }
    });
    await within(ROUND_MS, Promise.all(round));
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    if (batches.length > 0) {
      this.waitMs = WAIT_MS.min;
      await sleep(this.batchSize.recordRead(batches, positions.size));
      return;
    }
    await sleep(this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, Math.max(WAIT_MS.max, (positions.size * 1000) / IDLE_READS_PER_SECOND));
  }

  /** A round is short: there is nothing to interrupt. */
  interrupt(): void {
    this.waitMs = WAIT_MS.min;
  }

  private async readOne(shard: number, position: string): Promise<Entry[]> {
    const reply = await this.redis.xread('COUNT', this.batchSize.count, 'STREAMS', this.streams.key(shard), position);
    return (reply?.[0]?.[1] ?? []).map(([id, fields]) => this.streams.decode(id, fields));
  }
}
