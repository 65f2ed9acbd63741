/** Event feeds without HTTP, and a subscriber to them: what it got, read as the standard for event streams says. */
import type { Readable } from 'node:stream';
import { connectRedis, type Redis } from '@app/platform';
import { EventNotifier, EventReader, type EventType, type RegistryKeys } from '@app/registry';
import { decodeCursor } from '../../apps/api-gateway/src/events/event-cursor.js';
import { EventFeed, type FeedLimits } from '../../apps/api-gateway/src/events/event-feed.js';
import type { EventSubscription } from '../../apps/api-gateway/src/events/event-subscription.js';
import { EventText } from './event-text.js';
import { quiet } from './servers.js';

const LIMITS: FeedLimits = {
  subscribers: 100,
  bufferBytes: 100_000,
  totalBufferBytes: 10_000_000,
  heartbeatMs: 60_000,
  stalledMs: 60_000,
};

/** Where the events lie, and through which connection they are read. */
export interface FeedPlace {
  url: string;
  redis: Redis;
  keys: RegistryKeys;
  shards: number;
}

export function feedAt({ url, redis, keys, shards }: FeedPlace, limits: Partial<FeedLimits> = {}): EventFeed {
  const reader = connectRedis(url, { name: 'spec-feed', whenAway: 'wait' }, quiet);
  return new EventFeed(
    new EventReader(redis, keys, shards),
    new EventNotifier(reader, keys),
    { ...LIMITS, ...limits },
    quiet,
  );
}

/** What a subscriber asks for; `after`: an id that it has got; `sinceMs`: epoch milliseconds. */
export interface Wish {
  types?: EventType[];
  clientId?: string;
  shard?: number;
  after?: string;
  sinceMs?: number;
}

export async function openAt(
  feed: EventFeed,
  { types, clientId, shard, after, sinceMs }: Wish = {},
): Promise<EventSubscription> {
  const fromMs = after === undefined ? undefined : decodeCursor(after);
  const subscription = await feed.subscribe({ types: types && new Set(types), clientId, shard, sinceMs }, fromMs);
  if (subscription === undefined) throw new Error('the feed admits no more subscribers');
  // Begins to fill the buffer, as a socket does.
  subscription.stream.read(0);
  return subscription;
}

export async function listenAt(feed: EventFeed, wish: Wish = {}): Promise<FeedListener> {
  return new FeedListener(await openAt(feed, wish));
}

export class FeedListener extends EventText {
  closed = false;

  readonly stream: Readable;

  constructor({ stream }: EventSubscription) {
    super();
    this.stream = stream;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.readText(text));
    stream.on('end', () => (this.closed = true));
  }

  get numbers(): unknown[] {
    return this.received.filter(({ data }) => 'n' in data).map(({ data }) => data['n']);
  }

  get events(): string[] {
    return this.received.map(({ event }) => event);
  }

  /** Up to which time it has got the events, by its last id. */
  get upToMs(): number {
    return decodeCursor(this.lastId) ?? 0;
  }

  /** Shards for which it got a `gap`. */
  get gaps(): unknown[] {
    return this.received.filter(({ event }) => event === 'gap').map(({ data }) => data['shard']);
  }
}
