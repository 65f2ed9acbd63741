/**
 * One subscriber: a stream of text. A generator makes the text, and Node asks it for the next piece when the client has taken
 * the last one. The stream ends when the client leaves, takes nothing for too long, or is ended by the gateway.
 */
import { Readable } from 'node:stream';
import { sharedAbort, type Logger } from '@app/platform';
import type { EventReader } from '@app/registry';
import { closedText, type EndReason, type EventFilter } from './sse-event.js';
import { PIECE_BYTES, SubscriptionText, type SharedFeed } from './subscription-text.js';

/** How long a client may take for its last bytes after the gateway has ended its stream, in milliseconds. */
const END_MS = 10_000;

type Pieces = AsyncGenerator<string | Buffer, void, undefined>;

export class EventSubscription {
  readonly stream: Readable;
  /** Why the gateway ended it; undefined if it did not. */
  reason: EndReason | undefined;
  private readonly over = sharedAbort();
  private readonly text: SubscriptionText;

  constructor(
    private readonly feed: SharedFeed,
    reader: EventReader,
    filter: EventFilter,
    fromMs: number | undefined,
    logger: Logger,
  ) {
    this.text = new SubscriptionText(feed, reader, filter, fromMs, this.over.signal, logger);
    this.stream = Readable.from(this.closable(this.pieces()), { objectMode: false, highWaterMark: PIECE_BYTES });
  }

  /** Ends the stream, with a last event that gives the reason. `withinMs`: how long the client may take for what is left. */
  finish(reason: EndReason, withinMs = END_MS): void {
    if (this.stream.destroyed) return;
    setTimeout(() => this.stream.destroy(), withinMs).unref();
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.over.abort();
  }

  private async *pieces(): Pieces {
    for await (const piece of this.text.pieces()) {
      const stalled = setTimeout(() => this.finish('too-slow'), this.feed.limits.stalledMs).unref();
      try {
        yield piece;
      } finally {
        clearTimeout(stalled);
      }
    }
    if (this.reason !== undefined) yield closedText(this.reason);
  }

  /** A stream that is destroyed returns its generator. That has to wait for the generator's next `yield`: end its waits first. */
  private closable(pieces: Pieces): AsyncIterable<string | Buffer> {
    const iterator = {
      next: () => pieces.next(),
      return: () => {
        this.over.abort();
        // A generator that never began runs no `finally`.
        this.text.leave();
        return pieces.return();
      },
    };
    return { [Symbol.asyncIterator]: () => iterator };
  }
}
