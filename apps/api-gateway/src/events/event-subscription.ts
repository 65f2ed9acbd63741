/**
 * One subscriber: a stream of text. It first reads for itself what stands between its own positions and those of the
 * feed, shard by shard, and then gets what the feed tells everybody. What it does not take in time is bounded: past
 * that it is told so and ended, and can resume.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, isRedisError, type Logger } from '@app/platform';
import { BEFORE_ALL, type EventStreams } from '@app/registry';
import { isBehind } from '@app/sharding';
import { encodeCursor } from './event-cursor.js';
import type { Round } from './event-round.js';
import { closed, gap, toldEvent, wants, type EndReason, type EventFilter, type ToldEvent } from './told-event.js';

/** What a client is told to wait before it comes back. */
const RETRY_MS = 2000;
/** Events of one read. */
const PAGE = 200;
/** While it reads for itself, it waits until no more than this is untaken. */
const CALM_BYTES = 65_536;
/** How long the rest may take that was untaken at the end. */
const END_MS = 10_000;

export class EventSubscription extends Readable {
  /** Where it stands, until it stands where the feed does. */
  private own: string[] | undefined;
  /** Shards of which it has read all that the feed had passed by then. */
  private readonly caughtUp: boolean[];
  private ended = false;
  private calm: () => void = () => undefined;

  constructor(
    private readonly wanted: EventFilter,
    private readonly streams: EventStreams,
    private readonly bufferBytes: number,
    private readonly logger: Logger,
  ) {
    super({ highWaterMark: CALM_BYTES });
    this.caughtUp = Array.from({ length: streams.shardCount }, () => false);
  }

  /** Begins at the feed's positions, or at those of a cursor. `only`: the only shard that can tell it anything. */
  begin(feed: readonly string[], from: readonly string[] | undefined, only: number | undefined): void {
    this.push(`retry: ${RETRY_MS}\nid: ${encodeCursor(from ?? feed)}\n\n`);
    if (from === undefined) return;
    this.own = from.map((position, shard) =>
      only === undefined || only === shard ? position : (feed[shard] ?? position),
    );
    void this.catchUp(feed);
  }

  /** Takes what the feed has read in one round; `feed`: where the feed stands behind it. */
  tell(round: Round, feed: readonly string[]): void {
    if (this.ended) return;
    if (this.own === undefined) this.pass(round.chunkFor(this.wanted));
    else {
      for (const event of round.events) if (this.caughtUp[event.shard] === true) this.passOwn(event);
      for (const shard of round.gaps) if (this.caughtUp[shard] === true) this.passGap(shard, feed);
      this.joinIfThere(feed);
    }
  }

  /** Tells that it lives, and how far it has been read, also where nothing matched. */
  heartbeat(feedCursor: string): void {
    if (!this.ended) this.pass(`: heartbeat\nid: ${this.own === undefined ? feedCursor : encodeCursor(this.own)}\n\n`);
  }

  /** Ends it, with a last event that says why. */
  finish(reason: EndReason): void {
    if (this.ended) return;
    this.ended = true;
    this.push(closed(reason));
    this.push(null);
    setTimeout(() => this.destroy(), END_MS).unref();
    this.emit('over', reason);
  }

  override _read(): void {
    if (this.readableLength <= CALM_BYTES) this.calm();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.ended) this.emit('over', 'left');
    this.ended = true;
    this.calm();
    done(error);
  }

  private pass(text: string | Buffer | undefined): void {
    if (text === undefined || this.ended) return;
    if (this.readableLength > this.bufferBytes) this.finish('too-slow');
    else this.push(text);
  }

  /** Passes an event on under an id of its own, since it does not stand where the feed does. */
  private passOwn(event: ToldEvent): void {
    if (this.own === undefined || !isBehind(event.position, this.own[event.shard] ?? BEFORE_ALL)) return;
    this.own[event.shard] = event.position;
    if (wants(this.wanted, event)) this.pass(`id: ${encodeCursor(this.own)}\n${event.text}`);
  }

  private passGap(shard: number, feed: readonly string[]): void {
    if (this.own === undefined) return;
    this.own[shard] = feed[shard] ?? BEFORE_ALL;
    this.pass(`id: ${encodeCursor(this.own)}\n${gap(shard)}`);
  }

  private joinIfThere(feed: readonly string[]): void {
    const { own } = this;
    if (own === undefined || this.caughtUp.includes(false)) return;
    if (own.every((position, shard) => position === feed[shard])) this.own = undefined;
  }

  /** `feed` is where the feed stands at any moment. */
  private async catchUp(feed: readonly string[]): Promise<void> {
    for (let shard = 0; shard < this.streams.shardCount; shard++) {
      for (let tries = 0; !this.ended; tries++) {
        try {
          await this.catchUpWith(shard, feed);
          break;
        } catch (error) {
          if (!isRedisError(error)) {
            this.logger.error({ err: error, shard }, 'a subscriber of events could not be served');
            this.destroy();
            return;
          }
          await sleep(backoffMs(tries, 100, 2000));
        }
      }
    }
    this.joinIfThere(feed);
  }

  private async catchUpWith(shard: number, feed: readonly string[]): Promise<void> {
    const { own, streams } = this;
    if (own === undefined) return;
    const position = own[shard] ?? BEFORE_ALL;
    if (position !== feed[shard] && (await streams.trimmed(shard, position))) {
      own[shard] = BEFORE_ALL;
      this.pass(`id: ${encodeCursor(own)}\n${gap(shard)}`);
    }
    while (!this.ended && isBehind(feed[shard] ?? BEFORE_ALL, own[shard] ?? BEFORE_ALL)) {
      const events = await streams.after(shard, own[shard] ?? BEFORE_ALL, PAGE);
      // Where the stream is gone, the feed will find it too.
      if (events.length === 0) break;
      for (const event of events) this.passOwn(toldEvent(shard, event));
      if (this.readableLength > CALM_BYTES) await new Promise<void>((resolve) => (this.calm = resolve));
    }
    this.caughtUp[shard] = true;
  }
}
