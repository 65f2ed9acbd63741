import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { OnBatch, StreamEntry, StreamReader, ShardStreams } from './shard-stream.js';

/** The longest time that a read blocks: a shard that is granted during a read is not read before the next one. */
const BLOCK_MS = 250;

/** One blocking XREAD over all streams. The next read starts after `onBatch` has settled for every batch of the last one. */
export class BlockingReader<Entry extends StreamEntry> implements StreamReader<Entry> {
  private connectionId: number | undefined;

  constructor(
    /** A connection that nothing else uses. */
    private readonly redis: Redis,
    private readonly streams: ShardStreams<Entry>,
    private readonly batchSize: Pick<AdaptiveBatchSize, 'count' | 'recordRead'> = new AdaptiveBatchSize(),
    /** The connection through which a read is interrupted. */
    private readonly control?: Redis,
  ) {
    // A connection that is opened again has another id.
    redis.on('ready', () => (this.connectionId = undefined));
  }

  interrupt(): void {
    const { connectionId, control } = this;
    if (connectionId === undefined || control === undefined) return;
    // If it fails, the read ends by itself after `BLOCK_MS`.
    control.client('UNBLOCK', connectionId).catch(() => undefined);
  }

  async read(positions: ReadonlyMap<number, string>, onBatch: OnBatch<Entry>): Promise<void> {
    if (this.control !== undefined) this.connectionId ??= await this.redis.client('ID');
    const shardsByKey = new Map(Array.from(positions.keys(), (shard) => [this.streams.key(shard), shard]));
    const streams = [...shardsByKey.keys(), ...positions.values()];
    const reply = await this.redis.xread('COUNT', this.batchSize.count, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams);
    if (reply === null) return;
    const batches = reply.map(([, entries]) => entries.map(([id, fields]) => this.streams.decode(id, fields)));
    const waitMs = this.batchSize.recordRead(batches, positions.size);
    const waiting = waitMs > 0 ? sleep(waitMs) : undefined;
    await Promise.all(reply.map(([key], i) => onBatch(shardsByKey.get(key) ?? NaN, batches[i] ?? [])));
    await waiting;
  }
}
