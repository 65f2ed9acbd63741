/**
 * The events of all shards, read once for this process and passed to every subscriber. Reads while there is one.
 *
 * - A blocking read of all streams says which shards have something new; these are read. From time to time all are read:
 *   this moves the cursor on, and finds what a blocking read cannot, such as a Redis that was emptied.
 * - Events of a shard, and so of a connection, keep their order; those of different shards come as they are read.
 * - A Redis master that is away holds back its own shards, and the cursor with them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, counter, gauge, type Logger, sharedAbort } from '@app/platform';
import {
  EVENT_STREAM_NAMES,
  type EventBell,
  type EventPage,
  type EventReader,
  type ShardPosition,
} from '@app/registry';
import { BufferedBytes, type BufferLimits } from './buffered-bytes.js';
import { CatchUpTurns } from './catch-up-turns.js';
import { EventQueue } from './event-queue.js';
import { EventBatch } from './event-batch.js';
import { EventSubscription, type FeedPosition } from './event-subscription.js';
import { END_REASONS, type EventFilter } from './sse-event.js';

const subscribed = gauge('event_subscribers', 'Open event streams.');
const read = counter('events_read', 'Events read from Redis for the subscribers of this gateway.');
const ends = counter('event_streams_ended', 'Event streams that ended, by reason.', {
  reason: [...END_REASONS, 'left'],
});
const gaps = counter('event_gaps', 'Times the feed found that events of a shard were gone before it had read them.');

/** Shards that Redis is asked for together. */
const SHARDS_AT_ONCE = 256;
/** So many bytes as stored become at most twice as many of text. */
const TEXT_FACTOR = 2;
/** Pause between two batches, in milliseconds: each batch costs a write to every subscriber. A tenth for each, up to this. */
const LONGEST_PAUSE_MS = 20;
/** How long a subscriber may take for the rest when the gateway stops, in milliseconds: less than the shortest SHUTDOWN_GRACE. */
const STOP_MS = 500;
/** All shards are read at least this often, per shard. */
const ALL_EVERY_MS_A_SHARD = 31;
const ALL_EVERY_MS = 1000;

export interface FeedLimits extends BufferLimits {
  heartbeatMs: number;
  /** A subscriber that takes nothing for so long is ended. */
  stalledMs: number;
}

export class EventFeed {
  private readonly subscribers = new Set<EventSubscription>();
  private readonly queues = new Set<EventQueue>();
  readonly buffered: BufferedBytes;
  readonly turns = new CatchUpTurns();
  /** Its position in every shard; undefined while it does not read. */
  private positions: ShardPosition[] | undefined;
  /** Time up to which each shard has been read, epoch milliseconds. */
  private upTo: number[] = [];
  private opening: Promise<ShardPosition[]> | undefined;
  private running: Promise<void> | undefined;
  private readonly stopping = sharedAbort();
  private readonly backoff = new Backoff(50, 2000, 5000);

  constructor(
    private readonly reader: EventReader,
    private readonly bell: EventBell,
    readonly limits: FeedLimits,
    private readonly logger: Logger,
  ) {
    this.buffered = new BufferedBytes(limits);
  }

  /** Whether it takes no more subscribers. */
  get full(): boolean {
    return this.isStopping() || this.subscribers.size >= this.buffered.places;
  }

  /** Time up to which every shard has been read, epoch milliseconds. */
  get upToMs(): number {
    return smallest(this.upTo);
  }

  /** Its position now. */
  position(): FeedPosition {
    return { positions: this.positions?.slice() ?? [], upTo: this.upTo.slice() };
  }

  /**
   * A new subscriber, from now on or from a cursor's time, epoch milliseconds.
   * Rejects with what Redis says if it cannot begin.
   * @returns undefined if there is no room by now
   */
  async subscribe(filter: EventFilter, fromMs: number | undefined): Promise<EventSubscription | undefined> {
    // While one waits for it, the last subscriber may leave, and the feed end.
    while (this.positions === undefined) await this.open();
    if (this.full) return undefined;
    const subscription = new EventSubscription(this, this.reader, filter, fromMs, this.logger);
    this.subscribers.add(subscription);
    subscribed.set(this.subscribers.size);
    this.running ??= this.run(this.positions);
    subscription.once('close', () => {
      this.subscribers.delete(subscription);
      subscribed.set(this.subscribers.size);
      ends.inc({ reason: subscription.reason ?? 'left' });
    });
    return subscription;
  }

  /** What is read from now on. The queue is to be closed with `leave`. */
  join(filter: EventFilter): EventQueue {
    const queue = new EventQueue(filter, this.buffered.queueBytes, this.buffered);
    this.queues.add(queue);
    return queue;
  }

  leave(queue: EventQueue): void {
    this.queues.delete(queue);
    queue.close();
  }

  /** Ends every stream with a last event that says so. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const subscription of this.subscribers) subscription.finish('shutting-down', STOP_MS);
    this.bell.stop();
    await this.running;
  }

  /** Finds the ends of the logs, unless it reads them already. */
  private async open(): Promise<void> {
    this.opening ??= this.ends().finally(() => (this.opening = undefined));
    const ends = await this.opening;
    if (this.positions !== undefined) return;
    this.positions = ends;
    this.upTo = ends.map(({ seenMs }) => seenMs);
  }

  /** Reads the ends twice: the first read may create a log, and a cursor must not be older than that. */
  private async ends(): Promise<ShardPosition[]> {
    const shards = Array.from({ length: this.reader.shardCount }, (_, shard) => shard);
    await settledInTurn(shards, (shard) => this.reader.end(shard));
    const ends = await settledInTurn(shards, (shard) => this.reader.end(shard));
    return ends.map((end) => {
      if (end.status === 'rejected') throw end.reason as Error;
      return end.value;
    });
  }

  private async run(positions: ShardPosition[]): Promise<void> {
    const everyShard = positions.map((_, shard) => shard);
    const allEveryMs = Math.max(ALL_EVERY_MS, everyShard.length * ALL_EVERY_MS_A_SHARD);
    let allAt = 0;
    let due = new Set(everyShard);
    while (this.subscribers.size > 0 && !this.isStopping()) {
      try {
        if (due.size === 0) due = await this.bell.wait(positions);
        if (performance.now() >= allAt) {
          due = new Set(everyShard);
          allAt = performance.now() + allEveryMs;
        }
        const { more, failure } = await this.readBatch(positions, due);
        due = more;
        if (failure === undefined) this.backoff.succeeded();
        // The shards of the other masters continue to be read.
        else allAt = performance.now() + this.failed(failure);
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
    this.logger.warn({ err: error, wait_ms: waitMs }, 'reading events failed; trying again');
    return waitMs;
  }

  /**
   * Reads a batch of events and passes it on. A batch fits twice into a queue, so that a subscriber that keeps up does not
   * overflow.
   * @returns the shards that have more, and why shards could not be read. @throws it if none could
   */
  private async readBatch(
    positions: ShardPosition[],
    shards: ReadonlySet<number>,
  ): Promise<{ more: Set<number>; failure: Error | undefined }> {
    const before = positions.slice();
    const bytes = this.buffered.queueBytes / 2 / TEXT_FACTOR / EVENT_STREAM_NAMES.length / Math.max(1, shards.size);
    const results = await settledInTurn([...shards], (shard) =>
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
    read.inc(batch.events.length);
    gaps.inc(batch.gaps.length);
    if (batch.events.length + batch.gaps.length === 0) return;
    for (const queue of this.queues) queue.push(batch);
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }
}

/** Reads a limited number of shards at a time, so that the last command is answered within its time limit. */
async function settledInTurn<T>(
  shards: readonly number[],
  ask: (shard: number) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const results: PromiseSettledResult<T>[] = [];
  for (let from = 0; from < shards.length; from += SHARDS_AT_ONCE) {
    results.push(...(await Promise.allSettled(shards.slice(from, from + SHARDS_AT_ONCE).map(ask))));
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
