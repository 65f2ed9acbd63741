/** What the feed has read and one subscriber has not taken yet. Bounded: past the bound, the subscriber reads by itself. */
import type { Round } from './event-round.js';
import type { EventFilter } from './told-event.js';

/** Bytes that all subscribers of a gateway have not taken. */
export class BufferedBytes {
  private taken = 0;

  constructor(private readonly most: number) {}

  /** @returns whether there was room */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.most) return false;
    this.taken += bytes;
    return true;
  }

  free(bytes: number): void {
    this.taken -= bytes;
  }
}

export class EventQueue {
  private rounds: { round: Round; bytes: number }[] = [];
  private bytes = 0;
  private wake: (() => void) | undefined;
  private overflow: Round | undefined;

  constructor(
    private readonly filter: EventFilter,
    private readonly most: number,
    private readonly all: BufferedBytes,
  ) {}

  /** The first round that did not fit: the subscriber goes on by itself before it. */
  get overflowed(): Round | undefined {
    return this.rounds.length === 0 ? this.overflow : undefined;
  }

  push(round: Round): void {
    if (this.overflow !== undefined) return;
    const bytes = round.chunkFor(this.filter)?.length ?? 0;
    if (bytes === 0) return;
    // One round always fits, so that a subscriber that takes what it gets goes on.
    const fits = (this.rounds.length === 0 || this.bytes + bytes <= this.most) && this.all.take(bytes);
    if (fits) {
      this.rounds.push({ round, bytes });
      this.bytes += bytes;
    } else this.overflow = round;
    this.wake?.();
  }

  /** The next round, or undefined if none has come within `ms`, none follows, or `interrupt` was called. */
  async next(ms: number): Promise<Round | undefined> {
    if (this.rounds.length === 0 && this.overflow === undefined) await this.pushed(ms);
    const first = this.rounds.shift();
    if (first === undefined) return undefined;
    this.bytes -= first.bytes;
    this.all.free(first.bytes);
    return first.round;
  }

  /** Lets `next` resolve at once. */
  interrupt(): void {
    this.wake?.();
  }

  close(): void {
    this.all.free(this.bytes);
    this.rounds = [];
    this.bytes = 0;
    this.wake?.();
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
