/** What the feed has read and one subscriber has not taken yet. Bounded: past the bound, the subscriber reads by itself. */
import type { ShardPosition } from '@app/registry';
import type { BufferedBytes } from './buffered-bytes.js';
import type { Round } from './event-round.js';
import type { EventFilter } from './told-event.js';

/** What one round has for one subscriber. */
export interface QueuedChunk {
  chunk: Buffer;
  /** Up to where every shard has been read with it, epoch milliseconds. */
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

  /** Where the feed stood in every shard before the first round that did not fit: the subscriber goes on by itself from there. */
  get overflowed(): readonly ShardPosition[] | undefined {
    return this.waiting.length === 0 ? this.missed : undefined;
  }

  push(round: Round): void {
    if (this.missed !== undefined) return;
    const chunk = round.chunkFor(this.filter);
    if (chunk === undefined) return;
    if (this.bytes + chunk.length <= this.most && this.all.take(chunk.length)) {
      this.waiting.push({ chunk, upToMs: round.upToMs });
      this.bytes += chunk.length;
    } else this.missed = round.before;
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
