/**
 * One subscriber: a stream of text with Node's own back-pressure. It reads what stands behind its cursor by itself, as
 * fast as it is taken, and then gets what the feed reads for everybody. If it does not take that in time, it goes on by
 * itself from there: it is served at its own pace, and slows nobody else. What it holds is bounded.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, isRedisError, type Logger } from '@app/platform';
import { laterOf, positionAt, type EventPage, type EventReader, type ShardPosition } from '@app/registry';
import type { EventQueue } from './event-queue.js';
import { Round, idLine } from './event-round.js';
import { closedText, type EndReason, type EventFilter } from './told-event.js';

/** How long a client should wait before it comes back; sent as `retry`. */
const RETRY_MS = 2000;
/** Events of one stream in one read, and shards that are read together, while it reads by itself. */
const PAGE = 64;
const SHARDS_AT_ONCE = 8;
/** Bytes that are passed to the socket in one piece, so that each piece that is taken shows a reader that lives. */
const PIECE_BYTES = 16_384;
/** How long the rest may take that was not taken at the end. */
const END_MS = 10_000;

/** What is read for everybody. */
export interface SharedFeed {
  /** Up to where every shard has been read, epoch milliseconds. */
  readonly upToMs: number;
  /** `heartbeatMs`: how often a stream shows that it lives; `stalledMs`: it is ended if nothing is taken for so long. */
  readonly limits: { heartbeatMs: number; stalledMs: number };
  /** What is read from now on, until `leave`. */
  join(filter: EventFilter): EventQueue;
  leave(queue: EventQueue): void;
}

/** Where a reader stands in the shards that can have anything for it. */
type Positions = Map<number, ShardPosition>;

export class EventSubscription extends Readable {
  /** Why it was ended here; undefined if it was not. */
  reason: EndReason | undefined;
  private readonly chunks: AsyncGenerator<string | Buffer, void, undefined>;
  private queue: EventQueue | undefined;
  private stalled: NodeJS.Timeout | undefined;
  private cursorMs: number;

  constructor(
    private readonly feed: SharedFeed,
    private readonly reader: EventReader,
    private readonly wanted: EventFilter,
    fromMs: number | undefined,
    private readonly logger: Logger,
  ) {
    super({ highWaterMark: PIECE_BYTES });
    this.cursorMs = fromMs ?? feed.upToMs;
    // From now on it misses nothing, also if nobody reads the stream yet.
    if (fromMs === undefined) this.queue = feed.join(wanted);
    this.chunks = this.generate(fromMs === undefined ? undefined : this.positionsAt(fromMs));
  }

  /** Ends it, with a last event that says why. */
  finish(reason: EndReason): void {
    if (this.reason !== undefined || this.destroyed) return;
    this.reason = reason;
    this.queue?.interrupt();
    setTimeout(() => this.destroy(), END_MS).unref();
  }

  override _read(): void {
    clearTimeout(this.stalled);
    this.chunks.next().then(
      ({ done, value }) => {
        if (this.destroyed) return;
        this.stalled = setTimeout(() => this.finish('too-slow'), this.feed.limits.stalledMs).unref();
        this.push(done === true ? null : value);
      },
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.stalled);
    if (this.queue !== undefined) this.feed.leave(this.queue);
    // It may be waiting for Redis, and ends behind that.
    this.chunks.return().then(
      () => done(error),
      (failure: unknown) => done(error ?? (failure instanceof Error ? failure : new Error(String(failure)))),
    );
  }

  /** Whether nothing more is to be passed on but the end. A method, since it changes while it is waited for. */
  private isOver(): boolean {
    return this.reason !== undefined || this.destroyed;
  }

  private async *generate(own: Positions | undefined): AsyncGenerator<string | Buffer, void, undefined> {
    yield `retry: ${RETRY_MS}\n${idLine(this.cursorMs)}\n`;
    let positions = own;
    while (!this.isOver()) {
      if (positions !== undefined) {
        yield* this.readByItself(positions);
        if (this.isOver()) break;
        this.queue = this.feed.join(this.wanted);
        // What the feed had read before it joined.
        yield* this.readByItself(positions);
      }
      positions = yield* this.follow(positions);
      if (this.queue !== undefined) this.feed.leave(this.queue);
      this.queue = undefined;
    }
    if (this.reason !== undefined) yield closedText(this.reason);
  }

  /** Passes on what the feed reads. @returns where to go on by itself, if it has not taken it in time */
  private async *follow(own: Positions | undefined): AsyncGenerator<string | Buffer, Positions | undefined, undefined> {
    const { queue, feed, wanted } = this;
    let ahead = own;
    while (queue !== undefined && !this.isOver()) {
      const missed = queue.overflowed;
      if (missed !== undefined) return this.behind(missed, ahead);
      const round = await queue.next(feed.limits.heartbeatMs);
      if (this.isOver()) break;
      if (round === undefined) {
        if (queue.overflowed !== undefined) continue;
        this.cursorMs = Math.max(this.cursorMs, ahead === undefined ? feed.upToMs : 0);
        yield `: heartbeat\n${idLine(this.cursorMs)}\n`;
        continue;
      }
      if (ahead !== undefined && round.startsBehind(ahead)) ahead = undefined;
      const chunk = ahead === undefined ? round.chunkFor(wanted) : round.chunkBehind(wanted, ahead);
      if (chunk !== undefined) yield* pieces(chunk);
    }
    return undefined;
  }

  /** Reads and passes on all there is behind the positions, which it moves on. */
  private async *readByItself(positions: Positions): AsyncGenerator<Buffer, void, undefined> {
    const upTo = new Map(Array.from(positions.keys(), (shard) => [shard, this.cursorMs]));
    const due = [...positions.keys()];
    while (due.length > 0 && !this.isOver()) {
      const pages = await this.readPages(positions, due.splice(0, SHARDS_AT_ONCE));
      for (const { shard, next, upToMs, complete } of pages) {
        positions.set(shard, next);
        upTo.set(shard, upToMs);
        if (!complete) due.push(shard);
      }
      this.cursorMs = Math.max(0, Math.min(...upTo.values()));
      const chunk = new Round(pages, this.cursorMs, [], this.logger).chunkFor(this.wanted);
      if (chunk !== undefined) yield* pieces(chunk);
    }
  }

  /** Tries again until Redis answers, or the stream is over. */
  private async readPages(positions: Positions, shards: readonly number[]): Promise<EventPage[]> {
    for (let tries = 0; !this.isOver(); tries++) {
      try {
        return await Promise.all(shards.map((shard) => this.reader.read(shard, at(positions, shard), PAGE)));
      } catch (error) {
        if (!isRedisError(error)) throw error;
        await sleep(backoffMs(tries, 100, 2000));
      }
    }
    return [];
  }

  private positionsAt(ms: number): Positions {
    return this.pick(Array.from({ length: this.reader.shardCount }, () => positionAt(ms)));
  }

  /** Behind all rounds before one that it has missed, and behind what it has read by itself. */
  private behind({ before }: Round, ahead: Positions | undefined): Positions {
    const positions = this.pick(before);
    for (const [shard, position] of positions) {
      const own = ahead?.get(shard);
      if (own !== undefined) positions.set(shard, laterOf(position, own));
    }
    return positions;
  }

  private pick(positions: readonly ShardPosition[]): Positions {
    const { shard: only } = this.wanted;
    return new Map([...positions.entries()].filter(([shard]) => only === undefined || only === shard));
  }
}

function at(positions: Positions, shard: number): ShardPosition {
  const position = positions.get(shard);
  if (position === undefined) throw new RangeError(`no shard ${shard}`);
  return position;
}

function* pieces(chunk: Buffer): Iterable<Buffer> {
  for (let from = 0; from < chunk.length; from += PIECE_BYTES) yield chunk.subarray(from, from + PIECE_BYTES);
}
