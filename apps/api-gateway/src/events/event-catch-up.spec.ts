/** What subscribers cost that have far to catch up, and whose filter matches few of the events that are read. */
import { closeRedis, connectRedis, type Redis } from '@app/platform';
import {
  EventNotifier,
  EventReader,
  positionAt,
  RegistryKeys,
  type EventPage,
  type ShardPosition,
} from '@app/registry';
import { EventLog } from '../../../../test/support/event-log.js';
import { FeedListener } from '../../../../test/support/feed-listener.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { EventFeed } from './event-feed.js';
import { EventBatch } from './event-batch.js';

const SHARDS = 4;
const LIMITS = {
  subscribers: 100,
  bufferBytes: 100_000,
  totalBufferBytes: 10_000_000,
  heartbeatMs: 60_000,
  stalledMs: 60_000,
};

let redis: Redis;
let url: string;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

/** Counts the pages that are read, and read at the same time, for subscribers that catch up. */
class CountingReader extends EventReader {
  pages = 0;
  most = 0;
  private reading = 0;

  override async read(shard: number, from: ShardPosition, bytes: number, until?: ShardPosition): Promise<EventPage> {
    if (until === undefined) return super.read(shard, from, bytes);
    this.pages++;
    this.most = Math.max(this.most, ++this.reading);
    try {
      return await super.read(shard, from, bytes, until);
    } finally {
      this.reading--;
    }
  }
}

it('EventFeed lets a few streams of one caller read at the same time, and each gets all events from the oldest on', async () => {
  const keys = new RegistryKeys('catch-up');
  const log = new EventLog(redis, keys, SHARDS);
  for (let shard = 0; shard < SHARDS; shard++) await log.append(shard, 150, { filling: 'x'.repeat(500) });
  const reader = new CountingReader(redis, keys, SHARDS);
  const bell = connectRedis(url, { name: 'spec-feed', whenAway: 'wait' }, quiet);
  const feed = new EventFeed(reader, new EventNotifier(bell, keys), LIMITS, quiet);
  const filter = { types: undefined, clientId: undefined, caller: 'key:many' };
  const streams = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const stream = await feed.subscribe(filter, 1);
      if (stream === undefined) throw new Error('the feed admits no more subscribers');
      return new FeedListener(stream);
    }),
  );
  for (const stream of streams)
    await eventually('the stream has all events of every shard', () =>
      expect(stream.numbers).toHaveLength(150 * SHARDS),
    );
  expect(reader.pages).toBeGreaterThan(20);
  // Four reads at the same time, of four shards each.
  expect(reader.most).toBeLessThanOrEqual(16);
  await feed.stop();
  await closeRedis(bell);
});

it('EventBatch does not parse events of other accounts for a reader that is bound to an account', () => {
  const errors: unknown[] = [];
  const event = { stream: 0, at: 1000, text: '{"type":"message.status","client_id":"c"}', account: 'mine' };
  const page: EventPage = {
    shard: 0,
    events: [
      { ...event, id: '1-0' },
      { ...event, id: '2-0', account: 'another', text: 'no JSON' },
      { ...event, id: '3-0', account: undefined, text: 'no JSON' },
    ],
    gap: undefined,
    next: positionAt(1000),
    upToMs: 1000,
    complete: true,
  };
  const logger = Object.assign(Object.create(quiet) as typeof quiet, { error: (line: unknown) => errors.push(line) });
  const { events } = new EventBatch([page], 1000, [], logger, 'mine');
  expect(events.map(({ position }) => position)).toEqual(['1-0']);
  expect(errors).toEqual([]);
});
