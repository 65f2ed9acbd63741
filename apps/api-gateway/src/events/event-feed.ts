/**
 * The events of all shards, read once for this process and told to every subscriber. Reads while there is one. Events
 * of a shard, and so of a connection, keep their order; those of different shards come as they are read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, counter, gauge, type Logger, type Redis } from '@app/platform';
import { BEFORE_ALL, type EventStreams, type StoredEvent } from '@app/registry';
import type { StreamReader } from '@app/sharding';
import { encodeCursor } from './event-cursor.js';
import { Round, type NumberedEvent } from './event-round.js';
import { EventSubscription } from './event-subscription.js';
import { END_REASONS, toldEvent, type EndReason, type EventFilter } from './told-event.js';

const subscribed = gauge('event_subscribers', 'Open event streams.');
const read = counter('events_read', 'Events read from Redis for the subscribers of this gateway.');
const ends = counter('event_streams_ended', 'Event streams that ended, by reason.', {
  reason: [...END_REASONS, 'left'],
});
const gaps = counter('event_gaps', 'Times the feed found that events of a shard were gone before it had read them.');

/** Time between two rounds: each costs a write to every subscriber. A tenth of a millisecond for each, up to this. */
const LONGEST_PAUSE_MS = 20;

export interface FeedLimits {
  /** Most subscribers at a time. */
  subscribers: number;
  /** Most bytes that a subscriber has not taken. */
  bufferBytes: number;
  heartbeatMs: number;
}

export class EventFeed {
  private readonly subscribers = new Set<EventSubscription>();
  /** Up to where it has told its subscribers, a shard; kept up to date in place. Undefined while it does not read. */
  private positions: string[] | undefined;
  /** What was read and not told yet. */
  private untold: { shard: number; entry: StoredEvent }[] = [];
  private opening: Promise<string[]> | undefined;
  private running: Promise<void> | undefined;
  private doubtful = false;
  private heart: NodeJS.Timeout | undefined;
  private readonly stopping = new AbortController();
  private readonly reader: StreamReader<StoredEvent>;
  private readonly backoff = new Backoff(50, 2000, 5000);

  constructor(
    private readonly streams: EventStreams,
    /** For the reads that wait; closed with the feed. */
    private readonly redis: Redis,
    private readonly limits: FeedLimits,
    private readonly logger: Logger,
  ) {
    this.reader = streams.reader(redis);
  }

  /** Whether it takes no more subscribers. */
  get full(): boolean {
    return this.isStopping() || this.subscribers.size >= this.limits.subscribers;
  }

  /**
   * A new subscriber, from now on or from a cursor's positions. `only`: the shard of the client it asks for.
   * Rejects with what Redis says where it cannot begin.
   */
  async subscribe(
    filter: EventFilter,
    from: readonly string[] | undefined,
    only: number | undefined,
  ): Promise<EventSubscription> {
    const subscription = new EventSubscription(filter, this.streams, this.limits.bufferBytes, this.logger);
    const positions = await this.open();
    this.subscribers.add(subscription);
    subscribed.set(this.subscribers.size);
    subscription.once('over', (reason: EndReason | 'left') => {
      this.subscribers.delete(subscription);
      subscribed.set(this.subscribers.size);
      ends.inc({ reason });
    });
    subscription.begin(positions, from, only);
    this.running ??= this.run(positions);
    return subscription;
  }

  /** Ends every stream with a last event that says so. */
  async stop(): Promise<void> {
    this.stopping.abort();
    clearInterval(this.heart);
    for (const subscription of this.subscribers) subscription.finish('shutting-down');
    this.redis.disconnect();
    await this.running;
  }

  /** Finds out where the streams end, if it does not read them already. */
  private async open(): Promise<string[]> {
    if (this.positions !== undefined) return this.positions;
    this.opening ??= this.streams.ends().finally(() => (this.opening = undefined));
    const ends = await this.opening;
    return (this.positions ??= ends);
  }

  private async run(positions: string[]): Promise<void> {
    this.heart = setInterval(() => {
      const cursor = encodeCursor(positions);
      for (const subscription of this.subscribers) subscription.heartbeat(cursor);
    }, this.limits.heartbeatMs);
    while (this.subscribers.size > 0 && !this.isStopping()) {
      try {
        if (this.doubtful) await this.findGaps(positions);
        await this.readOnce(positions);
        this.backoff.succeeded();
        const pause = Math.min(LONGEST_PAUSE_MS, Math.round(this.subscribers.size / 10));
        if (pause > 0) await sleep(pause);
      } catch (error) {
        // What is not read for long may be trimmed, and Redis may have lost what it held.
        this.doubtful = true;
        if (this.isStopping()) break;
        const waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'reading events failed; trying again');
        await sleep(waitMs);
      }
    }
    clearInterval(this.heart);
    this.untold = [];
    this.positions = undefined;
    this.running = undefined;
  }

  private async readOnce(positions: string[]): Promise<void> {
    const readUpTo = new Map(positions.entries());
    for (const { shard, entry } of this.untold) readUpTo.set(shard, entry.id);
    // A shard whose answer comes late is told with the next round.
    await this.reader.read(readUpTo, (shard, entries) => {
      for (const entry of entries) this.untold.push({ shard, entry });
      return Promise.resolve();
    });
    const { untold } = this;
    if (untold.length === 0) return;
    this.untold = [];
    const events: NumberedEvent[] = [];
    for (const { shard, entry } of untold) {
      positions[shard] = entry.id;
      const event = this.decode(shard, entry);
      if (event !== undefined) events.push({ ...event, cursor: encodeCursor(positions) });
    }
    read.inc(untold.length);
    this.tell(new Round(events, []), positions);
  }

  private async findGaps(positions: string[]): Promise<void> {
    const trimmed = await Promise.all(positions.map((position, shard) => this.streams.trimmed(shard, position)));
    this.doubtful = false;
    const lost = trimmed.flatMap((is, shard) => (is ? [shard] : []));
    if (lost.length === 0) return;
    gaps.inc(lost.length);
    // A read under way when Redis went away may have brought some of them: they are read again from the first.
    this.untold = this.untold.filter(({ shard }) => !lost.includes(shard));
    for (const shard of lost) positions[shard] = BEFORE_ALL;
    this.tell(new Round([], lost), positions);
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private tell(round: Round, positions: readonly string[]): void {
    for (const subscription of this.subscribers) subscription.tell(round, positions);
  }

  private decode(shard: number, entry: StoredEvent): ReturnType<typeof toldEvent> | undefined {
    try {
      return toldEvent(shard, entry);
    } catch (error) {
      this.logger.error({ err: error, shard, entry: entry.id }, 'an event could not be read; it is left out');
      return undefined;
    }
  }
}
