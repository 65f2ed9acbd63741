/**
 * Reads the events of all shards once for this process, as long as it has a subscriber, and passes them to every subscriber.
 *
 * - A blocking read of all streams names the shards that have new events; these shards are read. From time to time all shards
 *   are read: this advances the cursor, and finds what a blocking read cannot, such as a Redis that was emptied.
 * - Events of a shard, and so of a connection, keep their order; events of different shards come as they are read.
 * - A Redis master that is away holds back its own shards and the cursor, and nothing else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, counter, gauge, type Logger, sharedAbort } from '@app/platform';
import {
  EVENT_STREAM_NAMES,
  type EventNotifier,
  type EventPage,
  type EventReader,
  type ShardPosition,
} from '@app/registry';
import { BufferedBytes, type BufferLimits } from './buffered-bytes.js';
import { CatchUpTurns } from './catch-up-turns.js';
import { EventQueue } from './event-queue.js';
import { EventBatch } from './event-batch.js';
import { EventSubscription } from './event-subscription.js';
import { END_REASONS, type EventFilter } from './sse-event.js';
import type { FeedPosition } from './subscription-text.js';

const openStreams = gauge('event_subscribers', 'Open event streams.');
const eventsRead = counter('events_read', 'Events read from Redis for the subscribers of this gateway.');
const streamsEnded = counter('event_streams_ended', 'Event streams that ended, by reason.', {
  reason: [...END_REASONS, 'left'],
});
const gapsFound = counter('event_gaps', 'Times the feed found that events of a shard were gone before it read them.');

/** Shards that are read from Redis at the same time. */
const SHARDS_AT_ONCE = 256;
/** The text of an event has at most twice as many bytes as Redis stores for it. */
const TEXT_FACTOR = 2;
/**
 * Each batch costs a write to every subscriber, so the feed pauses between batches: a tenth of a millisecond for each
 * subscriber, and at most this long.
 */
const LONGEST_PAUSE_MS = 20;
/** How long a subscriber may take for its last bytes when the gateway stops, in milliseconds. */
export const STREAMS_STOP_MS = 500;
/** Interval at which all shards are read: a second, or longer if there are more than 32 shards. */
const READ_ALL_MS = 1000;
const READ_ALL_MS_PER_SHARD = 31;

export interface FeedLimits extends BufferLimits {
  heartbeatMs: number;
  /** The stream of a subscriber that takes nothing for so long is ended. */
  stalledMs: number;
}

export class EventFeed {
  private readonly subscribers = new Set<EventSubscription>();
  private readonly queues = new Set<EventQueue>();
  readonly buffered: BufferedBytes;
  readonly turns = new CatchUpTurns();
  /** Position in every shard; undefined while the feed does not read. */
  private positions: ShardPosition[] | undefined;
  /** Time up to which each shard has been read, epoch milliseconds. */
  private upTo: number[] = [];
  private opening: Promise<ShardPosition[]> | undefined;
  private running: Promise<void> | undefined;
  private readonly stopping = sharedAbort();
  private readonly backoff = new Backoff(50, 2000, 5000);

  constructor(
    private readonly reader: EventReader,
    private readonly bell: EventNotifier,
    readonly limits: FeedLimits,
    private readonly logger: Logger,
  ) {
    this.buffered = new BufferedBytes(limits);
  }

  /** Whether no more subscribers are admitted. */
  get full(): boolean {
    return this.isStopping() || this.subscribers.size >= this.buffered.maxSubscribers;
  }

  /** Time up to which every shard has been read, epoch milliseconds. */
  get upToMs(): number {
    return smallest(this.upTo);
  }

  position(): FeedPosition {
    return { positions: this.positions?.slice() ?? [], upTo: this.upTo.slice() };
  }

  /**
   * Admits a subscriber. `fromMs`: time of its cursor, epoch milliseconds; undefined: events from `sinceMs` of its filter on, or
   * from now on without it or if it is in the future.
   * @returns undefined if no more are admitted @throws the error of Redis if the ends of the logs cannot be read
   */
  async subscribe(wanted: EventFilter, fromMs: number | undefined): Promise<EventSubscription | undefined> {
    const filter = await this.withCheckedSince(wanted);
    // During the wait the last other subscriber may leave: the feed then stops reading, and has no positions again.
    while (this.positions === undefined) await this.open();
    if (this.full) return undefined;
    const subscription = new EventSubscription(this, this.reader, filter, fromMs ?? filter.sinceMs, this.logger);
    this.subscribers.add(subscription);
    openStreams.set(this.subscribers.size);
    this.running ??= this.run(this.positions);
    subscription.stream.once('close', () => {
      this.subscribers.delete(subscription);
      openStreams.set(this.subscribers.size);
      streamsEnded.inc({ reason: subscription.reason ?? 'left' });
    });
    return subscription;
  }

  /** Opens a queue of what is read from now on; close it with `leave`. */
  join(filter: EventFilter): EventQueue {
    const queue = new EventQueue(filter, this.buffered.queueBytes, this.buffered);
    this.queues.add(queue);
    return queue;
  }

  leave(queue: EventQueue): void {
    this.queues.delete(queue);
    queue.close();
  }

  /** Ends every stream with a last event that says why. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const subscription of this.subscribers) subscription.finish('shutting-down', STREAMS_STOP_MS);
    this.bell.stop();
    await this.running;
  }

  /** The filter without a `sinceMs` in the future. Asks a clock of Redis for it, unless the feed has seen a later time. */
  private async withCheckedSince(filter: EventFilter): Promise<EventFilter> {
    const { sinceMs, shard = 0 } = filter;
    if (sinceMs === undefined) return filter;
    if (this.positions === undefined) await this.open();
    const isReached = this.upTo.some((ms) => ms >= sinceMs) || (await this.reader.end(shard)).seenMs >= sinceMs;
    return isReached ? filter : { ...filter, sinceMs: undefined };
  }

  /** Finds the ends of the logs; callers at the same time share one search. */
  private async open(): Promise<void> {
    this.opening ??= this.readEnds().finally(() => (this.opening = undefined));
    const ends = await this.opening;
    if (this.positions !== undefined) return;
    this.positions = ends;
    this.upTo = ends.map(({ seenMs }) => seenMs);
  }

  /** Reads the ends twice: the first read may create a log, and a cursor must not be older than its log. */
  private async readEnds(): Promise<ShardPosition[]> {
    const shards = Array.from({ length: this.reader.shardCount }, (_, shard) => shard);
    await readAllSettled(shards, (shard) => this.reader.end(shard));
    const ends = await readAllSettled(shards, (shard) => this.reader.end(shard));
    return ends.map((end) => {
      if (end.status === 'rejected') throw end.reason as Error;
      return end.value;
    });
  }

  private async run(positions: ShardPosition[]): Promise<void> {
    const everyShard = positions.map((_, shard) => shard);
    const readAllMs = Math.max(READ_ALL_MS, everyShard.length * READ_ALL_MS_PER_SHARD);
    let readAllAt = 0;
    let due = new Set(everyShard);
    while (this.subscribers.size > 0 && !this.isStopping()) {
      try {
        if (due.size === 0) due = await this.bell.wait(positions);
        if (performance.now() >= readAllAt) {
          due = new Set(everyShard);
          readAllAt = performance.now() + readAllMs;
        }
        const { more, failure } = await this.readBatch(positions, due);
        due = more;
        if (failure === undefined) this.backoff.succeeded();
        // Go on reading the shards of the other masters.
        else readAllAt = performance.now() + this.failed(failure);
        const pause = Math.min(LONGEST_PAUSE_MS, Math.round(this.subscribers.size / 10));
        if (pause > 0) await sleep(pause);
      } catch (error) {
        if (this.isStopping()) break;
        due = new Set(everyShard);
        await sleep(this.failed(error));
      }
    }
    this.positions = undefined;
    this.running = undefined;
  }

  /** @returns how long to wait before the next try, in milliseconds */
  private failed(error: unknown): number {
    const waitMs = this.backoff.failed();
    this.logger.warn({ err: error, wait_ms: waitMs }, 'events could not be read; trying again');
    return waitMs;
  }

  /**
   * Reads a batch of events and passes it on. Two batches fit into a queue, so that the queue of a subscriber that keeps up does
   * not overflow.
   * @returns the shards that have more, and the error of the shards that could not be read @throws it if no shard could be read
   */
  private async readBatch(
    positions: ShardPosition[],
    shards: ReadonlySet<number>,
  ): Promise<{ more: Set<number>; failure: Error | undefined }> {
    const before = positions.slice();
    const bytes = this.buffered.queueBytes / 2 / TEXT_FACTOR / EVENT_STREAM_NAMES.length / Math.max(1, shards.size);
    const results = await readAllSettled([...shards], (shard) =>
      this.reader.read(shard, positionIn(positions, shard), Math.ceil(bytes)),
    );
    const pages = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
    for (const { shard, next, upToMs } of pages) {
      positions[shard] = next;
      this.upTo[shard] = upToMs;
    }
    this.pass(pages, before);
    const failure = results.find((result) => result.status === 'rejected')?.reason as Error | undefined;
    if (failure !== undefined && pages.length === 0) throw failure;
    return { more: new Set(pages.flatMap(({ shard, complete }) => (complete ? [] : shard))), failure };
  }

  private pass(pages: readonly EventPage[], before: readonly ShardPosition[]): void {
    const batch = new EventBatch(pages, this.upToMs, before, this.logger);
    eventsRead.inc(batch.events.length);
    gapsFound.inc(batch.gaps.length);
    if (batch.events.length + batch.gaps.length === 0) return;
    for (const queue of this.queues) queue.push(batch);
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }
}

/** Reads a limited number of shards at a time, so that each command is answered within its time limit. */
async function readAllSettled<T>(
  shards: readonly number[],
  read: (shard: number) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const results: PromiseSettledResult<T>[] = [];
  for (let from = 0; from < shards.length; from += SHARDS_AT_ONCE) {
    results.push(...(await Promise.allSettled(shards.slice(from, from + SHARDS_AT_ONCE).map(read))));
  }
  return results;
}

function positionIn(positions: readonly ShardPosition[], shard: number): ShardPosition {
  const position = positions[shard];
  if (position === undefined) throw new RangeError(`no shard ${shard}`);
  return position;
}

function smallest(times: readonly number[]): number {
  let found = Infinity;
  for (const time of times) found = Math.min(found, time);
  return Number.isFinite(found) ? found : 0;
}
