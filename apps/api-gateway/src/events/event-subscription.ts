/**
 * One subscriber: a stream of text with Node's own back-pressure. It first catches up: it reads the events after its cursor by
 * itself, as fast as they are taken. Then it follows the feed, which reads for all subscribers. If its queue overflows, it
 * catches up again from there: a slow subscriber slows no other. Its memory is bounded.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, isRedisError, type Logger } from '@app/platform';
import { EVENT_STREAM_NAMES, positionAt, type EventPage, type EventReader, type ShardPosition } from '@app/registry';
import type { BufferedBytes } from './buffered-bytes.js';
import type { CatchUpTurns } from './catch-up-turns.js';
import type { EventQueue } from './event-queue.js';
import { EventBatch, idLine } from './event-batch.js';
import { closedText, type EndReason, type EventFilter } from './sse-event.js';

/** How long a client should wait before it comes back; sent as `retry`. */
const RETRY_MS = 2000;
/** Shards that are read together while it reads by itself, each with at least so many bytes. */
const SHARDS_AT_ONCE = 8;
const SHARD_BYTES = 4096;
/** Bytes that are passed to the socket in one piece, so that each piece that is taken shows a reader that lives. */
const PIECE_BYTES = 16_384;
/** How long the rest may take that was not taken at the end. */
const END_MS = 10_000;

/** The feed that reads for all subscribers. */
export interface SharedFeed {
  readonly buffered: BufferedBytes;
  readonly turns: CatchUpTurns;
  /** Time up to which every shard has been read, epoch milliseconds. */
  readonly upToMs: number;
  /** `heartbeatMs`: how often a stream shows that it lives; `stalledMs`: it is ended if nothing is taken for so long. */
  readonly limits: { heartbeatMs: number; stalledMs: number };
  position(): FeedPosition;
  /** What is read from now on, until `leave`. */
  join(filter: EventFilter): EventQueue;
  leave(queue: EventQueue): void;
}

/** Position of the feed in each shard, and the time up to which it has read the shard, epoch milliseconds. */
export interface FeedPosition {
  positions: readonly ShardPosition[];
  upTo: readonly number[];
}

/** Position of a reader in each shard that can have events for it. */
type Positions = Map<number, ShardPosition>;

export class EventSubscription extends Readable {
  /** Why it was ended here; undefined if it was not. */
  reason: EndReason | undefined;
  private readonly chunks: AsyncGenerator<string | Buffer, void, undefined>;
  private queue: EventQueue | undefined;
  private stalled: NodeJS.Timeout | undefined;
  private cursorMs: number;
  private passedAt = performance.now();

  constructor(
    private readonly feed: SharedFeed,
    private readonly reader: EventReader,
    private readonly wanted: EventFilter,
    fromMs: number | undefined,
    private readonly logger: Logger,
  ) {
    super({ highWaterMark: PIECE_BYTES });
    this.cursorMs = fromMs ?? feed.upToMs;
    // It joins now, so that it misses nothing before its first read.
    if (fromMs === undefined) this.queue = feed.join(wanted);
    this.chunks = this.generate(fromMs === undefined ? undefined : this.positionsAt(fromMs));
  }

  /** Ends it, with a last event that says why. `withinMs`: how long the rest may take that was not taken. */
  finish(reason: EndReason, withinMs = END_MS): void {
    if (this.destroyed) return;
    setTimeout(() => this.destroy(), withinMs).unref();
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.queue?.interrupt();
  }

  override _read(): void {
    clearTimeout(this.stalled);
    this.chunks.next().then(
      ({ done, value }) => {
        if (this.destroyed) return;
        this.stalled = setTimeout(() => this.finish('too-slow'), this.feed.limits.stalledMs).unref();
        this.passedAt = performance.now();
        this.push(done === true ? null : value);
      },
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.stalled);
    if (this.queue !== undefined) this.feed.leave(this.queue);
    // The generator may be waiting for Redis; it ends after that.
    this.chunks.return().then(
      () => done(error),
      (failure: unknown) => done(error ?? (failure instanceof Error ? failure : new Error(String(failure)))),
    );
  }

  /** Whether only the end is left to be passed on. A method, since it changes during an await. */
  private isOver(): boolean {
    return this.reason !== undefined || this.destroyed;
  }

  private async *generate(own: Positions | undefined): AsyncGenerator<string | Buffer, void, undefined> {
    yield `retry: ${RETRY_MS}\n${idLine(this.cursorMs)}\n`;
    let positions = own;
    let failures = 0;
    while (!this.isOver()) {
      if (positions === undefined || (yield* this.catchUp(positions))) {
        failures = 0;
        positions = yield* this.follow();
      } else if (!this.isOver()) {
        yield* this.beat();
        await sleep(backoffMs(failures++, 100, 2000));
      }
      if (this.queue !== undefined) this.feed.leave(this.queue);
      this.queue = undefined;
    }
    if (this.reason !== undefined) yield closedText(this.reason);
  }

  /** Reads by itself up to the position of the feed, and joins it. @returns false if a shard could not be read */
  private async *catchUp(positions: Positions): AsyncGenerator<string | Buffer, boolean, undefined> {
    if (!(yield* this.readByItself(positions, this.feed.position()))) return false;
    this.queue = this.feed.join(this.wanted);
    // Read what the feed has read since; all later events come to the queue.
    return yield* this.readByItself(positions, this.feed.position());
  }

  /** Passes on what the feed reads. @returns the positions to catch up from, if its queue overflowed */
  private async *follow(): AsyncGenerator<string | Buffer, Positions | undefined, undefined> {
    const { queue, feed } = this;
    while (queue !== undefined && !this.isOver()) {
      const missed = queue.overflowed;
      if (missed !== undefined) return this.pick(missed);
      const next = await queue.next(feed.limits.heartbeatMs);
      if (this.isOver()) break;
      if (next !== undefined) {
        yield* pieces(next.chunk);
        this.cursorMs = next.upToMs;
      } else if (queue.overflowed === undefined) {
        this.cursorMs = feed.upToMs;
        yield* this.beat();
      }
    }
    return undefined;
  }

  /**
   * Reads and passes on the events between `positions`, which it advances, and the position of the feed: a page at a time, the
   * next one when that has been taken. Shards that cannot be read hold back the cursor, but no other shard.
   * @returns whether every shard was read
   */
  private async *readByItself(
    positions: Positions,
    feedPosition: FeedPosition,
  ): AsyncGenerator<string | Buffer, boolean, undefined> {
    const upTo = new Map(Array.from(positions.keys(), (shard) => [shard, this.cursorMs]));
    const due = [...positions.keys()];
    let whole = true;
    while (due.length > 0 && !this.isOver()) {
      const { pageBytes } = this.feed.buffered;
      const shards = due.splice(0, Math.min(SHARDS_AT_ONCE, Math.ceil(pageBytes / SHARD_BYTES)));
      const pages = await this.feed.turns.take(this.wanted.caller ?? '', async () =>
        this.isOver() ? [] : this.readPages(positions, feedPosition, shards),
      );
      if (pages.length < shards.length) {
        whole = false;
        putLast(positions, shards, pages);
      }
      if (pages.length === 0) break;
      for (const { shard, next, upToMs, complete } of pages) {
        positions.set(shard, next);
        upTo.set(shard, complete ? Math.min(upToMs, feedPosition.upTo[shard] ?? upToMs) : upToMs);
        if (!complete) due.push(shard);
      }
      this.cursorMs = Math.max(0, Math.min(...upTo.values()));
      const chunk = new EventBatch(pages, this.cursorMs, [], this.logger, this.wanted.account).chunkFor(this.wanted);
      if (chunk !== undefined) {
        const free = this.feed.buffered.holdPage(chunk.length);
        try {
          yield* pieces(chunk);
        } finally {
          free();
        }
      } else if (performance.now() - this.passedAt > this.feed.limits.heartbeatMs) yield* this.beat();
    }
    return whole;
  }

  /** A heartbeat, with the cursor reached so far. */
  private *beat(): Iterable<string> {
    yield `: heartbeat\n${idLine(this.cursorMs)}\n`;
  }

  /** @returns pages of those shards whose Redis answers */
  private async readPages(
    positions: Positions,
    { positions: ends }: FeedPosition,
    shards: number[],
  ): Promise<EventPage[]> {
    // As text it takes about twice as many bytes.
    const bytes = Math.ceil(this.feed.buffered.pageBytes / 2 / EVENT_STREAM_NAMES.length / shards.length);
    const results = await Promise.allSettled(
      shards.map((shard) => this.reader.read(shard, at(positions, shard), bytes, ends[shard])),
    );
    return results.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value;
      if (isRedisError(result.reason)) return [];
      throw result.reason;
    });
  }

  private positionsAt(ms: number): Positions {
    return this.pick(Array.from({ length: this.reader.shardCount }, () => positionAt(ms)));
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

/** Moves the shards that could not be read to the end of the order. */
function putLast(positions: Positions, shards: readonly number[], pages: readonly EventPage[]): void {
  for (const shard of shards) {
    const position = positions.get(shard);
    if (position === undefined || pages.some((page) => page.shard === shard)) continue;
    positions.delete(shard);
    positions.set(shard, position);
  }
}

/** Copies, so that a piece that is under way does not keep the whole chunk. */
function* pieces(chunk: Buffer): Iterable<Buffer> {
  for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
    yield Buffer.from(chunk.subarray(from, from + PIECE_BYTES));
  }
}
