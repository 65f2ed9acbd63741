/** Batches that the feed has read and one subscriber has not taken yet. If the queue overflows, the subscriber reads by itself. */
import type { ShardPosition } from '@app/registry';
import type { BufferedBytes } from './buffered-bytes.js';
import type { EventBatch } from './event-batch.js';
import type { EventFilter } from './sse-event.js';

/** The part of one batch that matches one subscriber's filter. */
export interface QueuedChunk {
  chunk: Buffer;
  /** Time up to which every shard has been read with it, epoch milliseconds. */
  upToMs: number;
}

export class EventQueue {
  private waiting: QueuedChunk[] = [];
  /** Bytes of what waits, and of the chunk that is being passed on. */
  private bytes = 0;
  private passing = 0;
  private wake: (() => void) | undefined;
  private missed: readonly ShardPosition[] | undefined;

  constructor(
    private readonly filter: EventFilter,
    private readonly most: number,
    private readonly all: BufferedBytes,
  ) {}

  /** Position of the feed before the first batch that did not fit: the subscriber reads by itself from there. */
  get overflowed(): readonly ShardPosition[] | undefined {
    return this.waiting.length === 0 ? this.missed : undefined;
  }

  push(batch: EventBatch): void {
    if (this.missed !== undefined) return;
    const chunk = batch.chunkFor(this.filter);
    if (chunk === undefined) return;
    if (this.bytes + chunk.length <= this.most && this.all.take(chunk.length)) {
      this.waiting.push({ chunk, upToMs: batch.upToMs });
      this.bytes += chunk.length;
    } else this.missed = batch.before;
    this.wake?.();
  }

  /**
   * The next chunk, or undefined if none has come within `ms`, none follows, or `interrupt` was called. It counts until
   * the next call, by which it has been passed on.
   */
  async next(ms: number): Promise<QueuedChunk | undefined> {
    this.free(this.passing);
    this.passing = 0;
    if (this.waiting.length === 0 && this.missed === undefined) await this.pushed(ms);
    const first = this.waiting.shift();
    this.passing = first?.chunk.length ?? 0;
    return first;
  }

  /** Lets `next` resolve at once. */
  interrupt(): void {
    this.wake?.();
  }

  close(): void {
    this.free(this.bytes);
    this.waiting = [];
    this.passing = 0;
    this.wake?.();
  }

  private free(bytes: number): void {
    this.bytes -= bytes;
    this.all.free(bytes);
  }

  private async pushed(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.wake = undefined;
  }
}
