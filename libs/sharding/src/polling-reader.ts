import { setTimeout as sleep } from 'node:timers/promises';
import { within, type Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { OnBatch, StreamEntry, StreamReader, ShardStreams } from './shard-stream.js';

/** Wait after a read that found nothing: doubles from the first to the second. */
const WAIT_MS = { first: 1, most: 25 } as const;
/** Most reads a second if nothing comes in, however many shards there are. */
const IDLE_READS = 4000;
/** A round waits no longer than this for a shard that does not answer, or is not done. */
const PATIENCE_MS = 100;

/**
 * Reads of all streams, sent together and each to its node; between rounds it waits the longer the less there is.
 * Every shard goes its own way through a round, so that a node that is away holds back its own shards alone.
 */
export class PollingReader<Entry extends StreamEntry> implements StreamReader<Entry> {
  private readonly busy = new Set<number>();
  private waitMs: number = WAIT_MS.first;
  private failure: Error | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly streams: ShardStreams<Entry>,
    private readonly size: Pick<AdaptiveBatchSize, 'count' | 'brought'> = new AdaptiveBatchSize(),
  ) {}

  async read(positions: ReadonlyMap<number, string>, deliver: OnBatch<Entry>): Promise<void> {
    const batches: Entry[][] = [];
    const round = [...positions].map(async ([shard, position]) => {
      if (this.busy.has(shard)) return;
      this.busy.add(shard);
      try {
        const entries = await this.readOne(shard, position);
        if (entries.length === 0) return;
        batches.push(entries);
        await deliver(shard, entries);
      } catch (error) {
        this.failure = error instanceof Error ? error : new Error(String(error));
      } finally {
        this.busy.delete(shard);
      }
    });
    await within(PATIENCE_MS, Promise.all(round));
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    if (batches.length > 0) {
      this.waitMs = WAIT_MS.first;
      await sleep(this.size.brought(batches, positions.size));
      return;
    }
    await sleep(this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, Math.max(WAIT_MS.most, (positions.size * 1000) / IDLE_READS));
  }

  private async readOne(shard: number, position: string): Promise<Entry[]> {
    const reply = await this.redis.xread('COUNT', this.size.count, 'STREAMS', this.streams.key(shard), position);
    return (reply?.[0]?.[1] ?? []).map(([id, fields]) => this.streams.decode(id, fields));
  }
}
