import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { OnBatch, StreamEntry, StreamReader, ShardStreams } from './shard-stream.js';

/** A read ends at the latest after this, so that shards granted since then are read too. */
const BLOCK_MS = 250;

/** One blocking XREAD over all streams. The next one starts when all entries of the last one have been taken. */
export class BlockingReader<Entry extends StreamEntry> implements StreamReader<Entry> {
  constructor(
    /** A connection of its own. */
    private readonly redis: Redis,
    private readonly streams: ShardStreams<Entry>,
    private readonly size: Pick<AdaptiveBatchSize, 'count' | 'brought'> = new AdaptiveBatchSize(),
  ) {}

  async read(positions: ReadonlyMap<number, string>, deliver: OnBatch<Entry>): Promise<void> {
    const shards = new Map(Array.from(positions.keys(), (shard) => [this.streams.key(shard), shard]));
    const streams = [...shards.keys(), ...positions.values()];
    const reply = await this.redis.xread('COUNT', this.size.count, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams);
    if (reply === null) return;
    const batches = reply.map(([, raw]) => raw.map(([id, fields]) => this.streams.decode(id, fields)));
    const gathering = sleep(this.size.brought(batches, positions.size));
    await Promise.all(reply.map(([stream], i) => deliver(shards.get(stream) ?? NaN, batches[i] ?? [])));
    await gathering;
  }
}
