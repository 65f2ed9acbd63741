/** What the feed has read and one subscriber has not taken yet. If the queue overflows, the subscriber reads from Redis itself. */
import type { ShardPosition } from '@app/registry';
import type { BufferedBytes } from './buffered-bytes.js';
import type { EventBatch } from './event-batch.js';
import type { EventFilter } from './sse-event.js';

/** The part of a batch that matches the filter of the subscriber. */
export interface QueuedChunk {
  chunk: Buffer;
  /** Time up to which every shard has been read when this chunk is sent, epoch milliseconds. */
  upToMs: number;
}

export class EventQueue {
  private waiting: QueuedChunk[] = [];
  /** Bytes of the chunks that wait and of the one that is being sent. */
  private bytes = 0;
  private sending = 0;
  private wake: (() => void) | undefined;
  private overflowedAt: readonly ShardPosition[] | undefined;

  constructor(
    private readonly filter: EventFilter,
    private readonly maxBytes: number,
    private readonly total: BufferedBytes,
  ) {}

  /** Position of the feed before the first batch that did not fit, once all that did fit was taken. */
  get overflowed(): readonly ShardPosition[] | undefined {
    return this.waiting.length === 0 ? this.overflowedAt : undefined;
  }

  push(batch: EventBatch): void {
    if (this.overflowedAt !== undefined) return;
    const chunk = batch.chunkFor(this.filter);
    if (chunk === undefined) return;
    if (this.bytes + chunk.length <= this.maxBytes && this.total.take(chunk.length)) {
      this.waiting.push({ chunk, upToMs: batch.upToMs });
      this.bytes += chunk.length;
    } else this.overflowedAt = batch.before;
    this.wake?.();
  }

  /**
   * The next chunk, or undefined if none comes within `ms`, the queue has overflowed, or `interrupt` is called. A chunk counts
   * as buffered until the next call: by then it has been sent.
   */
  async next(ms: number): Promise<QueuedChunk | undefined> {
    this.free(this.sending);
    this.sending = 0;
    if (this.waiting.length === 0 && this.overflowedAt === undefined) await this.untilPushed(ms);
    const first = this.waiting.shift();
    this.sending = first?.chunk.length ?? 0;
    return first;
  }

  /** Lets `next` resolve at once. */
  interrupt(): void {
    this.wake?.();
  }

  close(): void {
    this.free(this.bytes);
    this.waiting = [];
    this.sending = 0;
    this.wake?.();
  }

  private free(bytes: number): void {
    this.bytes -= bytes;
    this.total.free(bytes);
  }

  private async untilPushed(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.wake = undefined;
  }
}
