/**
 * What one subscriber is sent, made when the client asks for more. It first catches up: it reads the events after its cursor
 * from Redis. Then it follows the feed, which reads for all subscribers. If its queue overflows, it catches up again from
 * there, so a slow subscriber delays no other one. It holds at most one page and one queue.
 */
import { backoffMs, isRedisError, pause, type Logger } from '@app/platform';
import { EVENT_STREAM_NAMES, positionAt, type EventPage, type EventReader, type ShardPosition } from '@app/registry';
import type { BufferedBytes } from './buffered-bytes.js';
import type { CatchUpTurns } from './catch-up-turns.js';
import type { EventQueue } from './event-queue.js';
import { EventBatch, idLine } from './event-batch.js';
import type { EventFilter } from './sse-event.js';

/** How long a client should wait before it reconnects, in milliseconds; sent as `retry`. */
const RETRY_MS = 2000;
/** Shards that are read at the same time to catch up, and the least bytes of a page for each of them. */
const SHARDS_AT_ONCE = 8;
const SHARD_BYTES = 4096;
/** Text is passed to the socket in pieces of this size: each piece that is taken shows that the client still reads. */
export const PIECE_BYTES = 16_384;

/** What a subscriber uses of the feed, which reads for all subscribers. */
export interface SharedFeed {
  readonly buffered: BufferedBytes;
  readonly turns: CatchUpTurns;
  /** Time up to which every shard has been read, epoch milliseconds. */
  readonly upToMs: number;
  /** `heartbeatMs`: interval of heartbeats; `stalledMs`: a stream of which nothing is taken for so long is ended. */
  readonly limits: { heartbeatMs: number; stalledMs: number };
  position(): FeedPosition;
  /** A queue of what the feed reads from now on, until `leave`. */
  join(filter: EventFilter): EventQueue;
  leave(queue: EventQueue): void;
}

/** Position of the feed in each shard, and the time up to which it has read the shard, epoch milliseconds. */
export interface FeedPosition {
  positions: readonly ShardPosition[];
  upTo: readonly number[];
}

/** Position of a subscriber in each shard that can have events for it. */
type Positions = Map<number, ShardPosition>;

type Pieces<Result = void> = AsyncGenerator<string | Buffer, Result, undefined>;

export class SubscriptionText {
  private queue: EventQueue | undefined;
  private cursorMs: number;
  private sentAt = performance.now();

  /** `fromMs`: time of the cursor to resume from; undefined: from now on. `over`: aborted when the subscriber gets no more. */
  constructor(
    private readonly feed: SharedFeed,
    private readonly reader: EventReader,
    private readonly filter: EventFilter,
    private readonly fromMs: number | undefined,
    private readonly over: AbortSignal,
    private readonly logger: Logger,
  ) {
    this.cursorMs = fromMs ?? feed.upToMs;
    // Join now, so that no event is missed before the client takes the first piece.
    if (fromMs === undefined) this.queue = feed.join(filter);
    over.addEventListener('abort', () => this.queue?.interrupt(), { once: true });
  }

  async *pieces(): Pieces {
    let behind = this.fromMs === undefined ? undefined : this.positionsAt(this.fromMs);
    let failures = 0;
    try {
      yield `retry: ${RETRY_MS}\n${idLine(this.cursorMs)}\n`;
      while (!this.isOver()) {
        if (behind === undefined || (yield* this.catchUp(behind))) {
          failures = 0;
          behind = yield* this.follow();
        } else if (!this.isOver()) {
          yield* this.heartbeat();
          await pause(backoffMs(failures++, 100, 2000), this.over);
        }
        this.leave();
      }
    } finally {
      this.leave();
    }
  }

  /** Gives up the queue at the feed, if there is one. */
  leave(): void {
    if (this.queue !== undefined) this.feed.leave(this.queue);
    this.queue = undefined;
  }

  /** Reads up to the position of the feed, and joins it. @returns false if a shard could not be read */
  private async *catchUp(positions: Positions): Pieces<boolean> {
    if (!(yield* this.readUpTo(this.feed.position(), positions))) return false;
    this.queue = this.feed.join(this.filter);
    // Read what the feed has read since; all later events are put into the queue.
    return yield* this.readUpTo(this.feed.position(), positions);
  }

  /** Passes on what the feed reads. @returns the positions to catch up from if the queue has overflowed */
  private async *follow(): Pieces<Positions | undefined> {
    const { queue, feed } = this;
    while (queue !== undefined && !this.isOver()) {
      const { overflowed } = queue;
      if (overflowed !== undefined) return this.pick(overflowed);
      const next = await queue.next(feed.limits.heartbeatMs);
      if (this.isOver()) break;
      if (next !== undefined) {
        yield* this.inPieces(next.chunk);
        this.cursorMs = next.upToMs;
      } else if (queue.overflowed === undefined) {
        this.cursorMs = feed.upToMs;
        yield* this.heartbeat();
      }
    }
    return undefined;
  }

  /**
   * Reads the events between `positions`, which it advances, and `end`: page by page, the next one when the last one has been
   * taken. A shard that cannot be read holds back the cursor, but no other shard.
   * @returns whether every shard was read
   */
  private async *readUpTo(end: FeedPosition, positions: Positions): Pieces<boolean> {
    const { buffered, limits, turns } = this.feed;
    const upTo = new Map(Array.from(positions.keys(), (shard) => [shard, this.cursorMs]));
    const due = [...positions.keys()];
    let isWhole = true;
    while (due.length > 0 && !this.isOver()) {
      const shards = due.splice(0, Math.min(SHARDS_AT_ONCE, Math.ceil(buffered.pageBytes / SHARD_BYTES)));
      const pages = await turns.take(this.filter.caller ?? '', async () =>
        this.isOver() ? [] : this.readPages(shards, end, positions),
      );
      if (pages.length < shards.length) {
        isWhole = false;
        putLast(positions, shards, pages);
      }
      if (pages.length === 0) break;
      for (const { shard, next, upToMs, complete } of pages) {
        positions.set(shard, next);
        upTo.set(shard, complete ? Math.min(upToMs, end.upTo[shard] ?? upToMs) : upToMs);
        if (!complete) due.push(shard);
      }
      this.cursorMs = Math.max(0, Math.min(...upTo.values()));
      const chunk = new EventBatch(pages, this.cursorMs, [], this.logger, this.filter.account).chunkFor(this.filter);
      if (chunk !== undefined) yield* this.pageInPieces(chunk);
      else if (performance.now() - this.sentAt > limits.heartbeatMs) yield* this.heartbeat();
    }
    return isWhole;
  }

  /** @returns pages of those shards whose Redis answers */
  private async readPages(
    shards: number[],
    { positions: ends }: FeedPosition,
    positions: Positions,
  ): Promise<EventPage[]> {
    // As text, events take about twice as many bytes as in Redis.
    const bytes = Math.ceil(this.feed.buffered.pageBytes / 2 / EVENT_STREAM_NAMES.length / shards.length);
    const results = await Promise.allSettled(
      shards.map((shard) => this.reader.read(shard, positionIn(positions, shard), bytes, ends[shard])),
    );
    return results.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value;
      if (isRedisError(result.reason)) return [];
      throw result.reason;
    });
  }

  /** The page counts as buffered until the client has taken it. */
  private *pageInPieces(chunk: Buffer): Iterable<Buffer> {
    const release = this.feed.buffered.holdPage(chunk.length);
    try {
      yield* this.inPieces(chunk);
    } finally {
      release();
    }
  }

  /** Each piece is a copy, so that a piece in a socket does not keep the whole chunk in memory. */
  private *inPieces(chunk: Buffer): Iterable<Buffer> {
    for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
      this.sentAt = performance.now();
      yield Buffer.from(chunk.subarray(from, from + PIECE_BYTES));
    }
  }

  /** A heartbeat with the cursor that was reached. */
  private *heartbeat(): Iterable<string> {
    this.sentAt = performance.now();
    yield `: heartbeat\n${idLine(this.cursorMs)}\n`;
  }

  private positionsAt(ms: number): Positions {
    return this.pick(Array.from({ length: this.reader.shardCount }, () => positionAt(ms)));
  }

  private pick(positions: readonly ShardPosition[]): Positions {
    const { shard: only } = this.filter;
    return new Map([...positions.entries()].filter(([shard]) => only === undefined || only === shard));
  }

  /** A method, since the signal changes during an await. */
  private isOver(): boolean {
    return this.over.aborted;
  }
}

function positionIn(positions: Positions, shard: number): ShardPosition {
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
