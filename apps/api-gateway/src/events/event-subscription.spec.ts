import { once } from 'node:events';
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { register } from 'prom-client';
import { EventLog } from '../../../../test/support/event-log.js';
import { feedAt, listenAt } from '../../../../test/support/feed-listener.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { encodeCursor } from './event-cursor.js';
import type { EventFeed } from './event-feed.js';
import type { EventSubscription } from './event-subscription.js';

const SHARDS = 4;
const KILOBYTE = { filling: 'x'.repeat(1000) };
const FILTER = { types: undefined, clientId: undefined };

let redis: Redis;
let url: string;
let log: EventLog;
let feed: EventFeed;
let keySpaces = 0;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeEach(() => {
  const keys = new RegistryKeys(`subscription${keySpaces++}`);
  log = new EventLog(redis, keys, SHARDS);
  feed = feedAt({ url, redis, keys, shards: SHARDS }, { subscribers: 2 });
});

afterEach(() => feed.stop());

async function subscribe(fromMs?: number): Promise<EventSubscription> {
  const subscription = await feed.subscribe(FILTER, fromMs);
  if (subscription === undefined) throw new Error('the feed admits no more subscribers');
  return subscription;
}

async function bufferedBytes(): Promise<number> {
  const metric = await register.getSingleMetric('cloud_connector_event_buffered_bytes')?.get();
  return Number(metric?.values[0]?.value);
}

async function untilPageWaits({ stream }: EventSubscription): Promise<void> {
  stream.read(0);
  await eventually('a page waits to be taken', () => expect(stream.readableLength).toBeGreaterThan(16_000));
}

describe('EventSubscription', () => {
  it.each<[string, () => Promise<EventSubscription>]>([
    ['before its first read', () => subscribe()],
    ['before its first read, with a cursor', () => subscribe(1)],
    [
      'while it reads from Redis',
      async () => {
        const subscription = await subscribe(1);
        subscription.stream.read(0);
        return subscription;
      },
    ],
    [
      'while a page waits to be taken',
      async () => {
        const subscription = await subscribe(1);
        await untilPageWaits(subscription);
        return subscription;
      },
    ],
    [
      'while it waits for events',
      async () => {
        const subscription = await subscribe();
        subscription.stream.resume();
        await eventually('the stream has begun', () => expect(subscription.stream.readableDidRead).toBe(true));
        return subscription;
      },
    ],
    [
      'after the gateway has ended it',
      async () => {
        const subscription = await subscribe(1);
        await untilPageWaits(subscription);
        subscription.finish('credentials');
        return subscription;
      },
    ],
  ])('gives up its place, its queue and its bytes if the client leaves %s', async (_, open) => {
    for (let shard = 0; shard < SHARDS; shard++) await log.append(shard, 50, KILOBYTE);
    const other = await listenAt(feed, { after: encodeCursor(1) });
    const { stream } = await open();
    expect(feed.full).toBe(true);
    const closed = once(stream, 'close');
    stream.destroy();
    await closed;
    expect(feed.full).toBe(false);
    await log.append(1, 50, KILOBYTE);
    await eventually('the other subscriber has every event', () =>
      expect(other.numbers).toHaveLength(50 * SHARDS + 50),
    );
    await eventually('the feed buffers nothing', async () => expect(await bufferedBytes()).toBe(0));
  });
});
