import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { RedisForbiddenError, type Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { OnBatch, StreamEntry, StreamReader, ShardStreams } from './shard-stream.js';

/**
 * The longest time that a read blocks. A shard that is granted during a read interrupts it, or is not read before its end. A
 * user of Redis that may not interrupt makes reads short, from the first attempt on.
 */
const BLOCK_MS = { interruptible: 5000, otherwise: 250 } as const;
/** Between two attempts to interrupt a read; doubled from `min` to `max`. */
const END_AGAIN_MS = { min: 1, max: 100 } as const;

/** One blocking XREAD over all streams. The next read starts after `onBatch` has settled for every batch of the last one. */
export class BlockingReader<Entry extends StreamEntry> implements StreamReader<Entry> {
  private connectionId: Promise<number | undefined> | undefined;
  private isReading = false;
  /** Whether the read should end, although there are no entries. */
  private isInterrupted = false;
  private isEnding = false;

  constructor(
    /** A connection that nothing else uses. */
    private readonly redis: Redis,
    private readonly streams: ShardStreams<Entry>,
    private readonly batchSize: Pick<AdaptiveBatchSize, 'count' | 'recordRead'> = new AdaptiveBatchSize(),
    /** The connection through which a read is interrupted. */
    private control?: Redis,
  ) {
    // A connection that is opened again has another id. It is asked for before the client sends the last read again.
    if (control !== undefined) redis.on('connect', () => void this.askForId());
  }

  interrupt(): void {
    this.isInterrupted = true;
    if (this.control !== undefined && !this.isEnding) void this.endRead(this.control);
  }

  async read(positions: ReadonlyMap<number, string>, onBatch: OnBatch<Entry>): Promise<void> {
    const shardsByKey = new Map(Array.from(positions.keys(), (shard) => [this.streams.key(shard), shard]));
    const reply = await this.readStreams([...shardsByKey.keys(), ...positions.values()]);
    if (reply === null) return;
    const batches = reply.map(([, entries]) => entries.map(([id, fields]) => this.streams.decode(id, fields)));
    const waitMs = this.batchSize.recordRead(batches, positions.size);
    const waiting = waitMs > 0 ? sleep(waitMs) : undefined;
    await Promise.all(reply.map(([key], i) => onBatch(shardsByKey.get(key) ?? NaN, batches[i] ?? [])));
    // What the batches have written, as a publish, leaves before the next read is prepared.
    await (waiting ?? turn());
  }

  private async readStreams(streams: readonly string[]): Promise<Awaited<ReturnType<Redis['xread']>>> {
    this.isReading = true;
    this.isInterrupted = false;
    try {
      if (this.control !== undefined) await (this.connectionId ??= this.askForId());
      if (this.hasBeenInterrupted()) return null;
      const blockMs = this.control === undefined ? BLOCK_MS.otherwise : BLOCK_MS.interruptible;
      return await this.redis.xread('COUNT', this.batchSize.count, 'BLOCK', blockMs, 'STREAMS', ...streams);
    } finally {
      this.isReading = false;
    }
  }

  /** A method, because the compiler would take the field for unchanged after an `await`. */
  private hasBeenInterrupted(): boolean {
    return this.isInterrupted;
  }

  /** Repeats until the read has ended: Redis may not have received it yet, and a read that was interrupted may be sent again. */
  private async endRead(control: Redis): Promise<void> {
    this.isEnding = true;
    for (let waitMs: number = END_AGAIN_MS.min; this.isReading && this.isInterrupted; waitMs *= 2) {
      const id = await this.connectionId;
      if (id !== undefined) await this.interruptOnce(control, id);
      if (this.control === undefined) break;
      await sleep(Math.min(waitMs, END_AGAIN_MS.max));
    }
    this.isEnding = false;
  }

  /** After another failure, as of the connection, the next attempt follows. The connection warns of the right that is missing. */
  private async interruptOnce(control: Redis, id: number): Promise<void> {
    try {
      await control.client('UNBLOCK', id);
    } catch (error) {
      if (error instanceof RedisForbiddenError) this.control = undefined;
    }
  }

  /**
   * @returns undefined if the connection ends before it is known. The client forgets a command, and never settles it, that it sent on
   * a connection which ends before it is ready.
   */
  private askForId(): Promise<number | undefined> {
    this.connectionId = new Promise((resolve) => {
      const end = (): void => resolve(undefined);
      this.redis.once('close', end);
      void this.redis
        .client('ID')
        .then(resolve, end)
        .finally(() => this.redis.off('close', end));
    });
    return this.connectionId;
  }
}
