/** Gaps: events that were trimmed before a reader got them, and clocks of masters that step back. */
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { EventLog, faultsIn, msOf, type AppendedEvent } from '../../../../test/support/event-log.js';
import type { SseEvent } from '../../../../test/support/event-text.js';
import { FeedListener, feedAt, listenAt, openAt } from '../../../../test/support/feed-listener.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import type { EventFeed } from './event-feed.js';

const SHARDS = 4;
const KILOBYTE = { filling: 'x'.repeat(1000) };

let redis: Redis;
let url: string;
let log: EventLog;
let feeds: [EventFeed, EventFeed];
let keySpaces = 0;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeEach(() => {
  const keys = new RegistryKeys(`gaps${keySpaces++}`);
  log = new EventLog(redis, keys, SHARDS);
  const feed = (): EventFeed => feedAt({ url, redis, keys, shards: SHARDS }, { heartbeatMs: 50 });
  feeds = [feed(), feed()];
});

afterEach(() => Promise.all(feeds.map((feed) => feed.stop())));

async function begun(feed: EventFeed, after?: string): Promise<FeedListener> {
  const listener = await listenAt(feed, after === undefined ? {} : { after });
  await eventually('the reader has its first id', () => expect(listener.lastId).not.toBe(''));
  return listener;
}

function gapsOf({ received }: { received: readonly SseEvent[] }): SseEvent['data'][] {
  return received.filter(({ event }) => event === 'gap').map(({ data }) => data);
}

/** Expects one or several gaps of these streams of the shard that together cover all missing events. */
function expectGap(listener: FeedListener, shard: number, streams: string[], missing: readonly AppendedEvent[]): void {
  const gaps = gapsOf(listener);
  expect(gaps.length).toBeGreaterThan(0);
  for (const gap of gaps) expect(gap).toMatchObject({ type: 'gap', shard, streams });
  const times = missing.map(msOf);
  expect(Math.min(...gaps.map(({ from }) => Date.parse(String(from))))).toBeLessThanOrEqual(Math.min(...times));
  expect(Math.max(...gaps.map(({ until }) => Date.parse(String(until))))).toBe(Math.max(...times));
}

describe('the gap event names the shard, the streams, and the time from and until which events are missing', () => {
  it('reports a gap to a reader that catches up', async () => {
    const { lastId } = await begun(feeds[0]);
    const refused = await log.append(1, 5, { type: 'connection.refused' });
    await log.append(1, 400, KILOBYTE);
    const slow = await openAt(feeds[0], { after: lastId });
    // It has read its first page, and waits until the client takes it.
    await eventually('the first page waits to be taken', () =>
      expect(slow.stream.readableLength).toBeGreaterThan(16_000),
    );
    await log.trim(1, 100_000);
    const reader = new FeedListener(slow);
    const newest = log.appended.at(-1)?.n;
    await eventually('the reader has the newest event', () => expect(reader.numbers.at(-1)).toBe(newest));
    const missing = log.appended.filter(({ n }) => !reader.numbers.includes(n));
    expect(missing.length).toBeGreaterThan(100);
    expect(reader.numbers).toEqual(expect.arrayContaining(refused.map(({ n }) => n)));
    expectGap(reader, 1, ['state'], missing);
    expect(faultsIn(reader.received, log.appended)).toEqual([]);
  });

  it('reports a gap to a reader that follows', async () => {
    const reader = await begun(feeds[0]);
    await log.append(2, 3);
    await eventually('the reader has three events', () => expect(reader.numbers).toHaveLength(3));
    // Appended, and trimmed at once.
    await log.limit(2, 20_000);
    await log.append(2, 60, { ...KILOBYTE, type: 'connection.refused' });
    await eventually('the reader has the newest event', () => expect(reader.numbers.at(-1)).toBe(62));
    const missing = log.appended.filter(({ n }) => !reader.numbers.includes(n));
    expect(missing.length).toBeGreaterThan(40);
    expectGap(reader, 2, ['refusals'], missing);
    // The gap comes before the events that were kept.
    expect(reader.events.slice(3)).toEqual(['gap', ...reader.numbers.slice(3).map(() => 'connection.refused')]);
    expect(faultsIn(reader.received, log.appended)).toEqual([]);
  });

  it('reports a gap of what clients say only to a reader that follows it', async () => {
    const [listening, other] = [
      await listenAt(feeds[0], { types: ['client.message', 'message.status'] }),
      await begun(feeds[1]),
    ];
    await eventually('the reader has its first id', () => expect(listening.lastId).not.toBe(''));
    await log.limit(2, 20_000);
    const said = await log.append(2, 60, { ...KILOBYTE, type: 'client.message' });
    const [last] = await log.append(2, 1);
    for (const reader of [listening, other]) {
      await eventually('the reader has the newest event', () => expect(reader.numbers.at(-1)).toBe(last?.n));
    }
    expectGap(
      listening,
      2,
      ['talk'],
      said.filter(({ n }) => !listening.numbers.includes(n)),
    );
    expect(faultsIn(listening.received, log.appended)).toEqual([]);
    expect(other.events).toEqual(['message.status']);
  });

  it('reports a gap to a reader that has just begun, although the clocks of the masters differ', async () => {
    const start = Date.now() + 60_000;
    for (let shard = 0; shard < SHARDS; shard++) await log.setClock(shard, start + (shard === 0 ? 0 : 1500));
    const { lastId } = await begun(feeds[0]);
    await log.limit(0, 4000);
    await log.append(0, 10, KILOBYTE);
    const reader = await begun(feeds[1], lastId);
    await eventually('the reader has the newest event', () => expect(reader.numbers.at(-1)).toBe(9));
    expect(reader.gaps).toContain(0);
    expect(faultsIn(reader.received, log.appended)).toEqual([]);
  });
});

describe("a master's clock that steps back", () => {
  const AHEAD_MS = 60_000;

  it('neither sends a gap nor loses an event if the clock of a master steps back and its log knows the last id', async () => {
    const follower = await begun(feeds[0]);
    await log.setClock(1, Date.now() + AHEAD_MS);
    await log.append(1, 3);
    await log.append(2, 3);
    await eventually('the follower has all six events', () => expect(follower.numbers).toHaveLength(6));
    // From now on the clock shows the real time again, a minute before the newest event.
    const resumed = await begun(feeds[1], follower.received[2]?.id);
    await log.append(1, 3);
    await log.append(2, 3);
    for (const reader of [follower, resumed]) {
      await eventually('the reader has all twelve events', () => expect(new Set(reader.numbers).size).toBe(12));
      expect(faultsIn(reader.received, log.appended)).toEqual([]);
      expect(reader.gaps).toEqual([]);
    }
    // The other shards have not been read up to that time.
    expect(follower.upToMs).toBeLessThan(Date.now() + AHEAD_MS / 2);
  });

  it('sends a gap to readers that follow or resume if the clock of a master ran ahead by more than two seconds before it stepped back', async () => {
    const start = Date.now() + AHEAD_MS;
    const everyShard = (ms: number): Promise<unknown> =>
      Promise.all(Array.from({ length: SHARDS }, (_, shard) => log.setClock(shard, ms)));
    await everyShard(start);
    const follower = await begun(feeds[0]);
    await log.append(1, 3);
    await everyShard(start + 30_000);
    await eventually('the cursor of the follower has reached the clock that ran ahead', () =>
      expect(follower.upToMs).toBeGreaterThanOrEqual(start + 30_000),
    );
    const late = follower.lastId;
    await log.setClock(1, start + 10_000);
    await eventually('the follower has one gap of both streams', () =>
      expect(gapsOf(follower)).toMatchObject([{ shard: 1, streams: ['state', 'refusals'] }]),
    );
    const resumed = await begun(feeds[1], late);
    await eventually('the reader that resumes has a gap of shard 1 only', () =>
      expect(new Set(resumed.gaps)).toEqual(new Set([1])),
    );
    await log.append(1, 3);
    for (const reader of [follower, resumed]) {
      await eventually('the reader has the three newest events', () =>
        expect(reader.numbers.slice(-3)).toEqual([3, 4, 5]),
      );
      const [gap] = gapsOf(reader);
      expect(Date.parse(String(gap?.['from']))).toBeLessThanOrEqual(start + 10_000);
      expect(Date.parse(String(gap?.['until']))).toBeGreaterThanOrEqual(start + 30_000);
    }
    // The cursor has stepped back with the clock: later events are not skipped when the clock has caught up.
    const { beats } = follower;
    await eventually('the follower gets a heartbeat', () => expect(follower.beats).toBeGreaterThan(beats));
    expect(follower.upToMs).toBeLessThan(start + 30_000);
    expect(follower.upToMs).toBeGreaterThanOrEqual(start + 10_000);
    const cursor = follower.lastId;
    follower.stream.destroy();
    const inBetween = await log.append(1, 2);
    await everyShard(start + 50_000);
    await log.append(1, 1);
    const again = await begun(feeds[1], cursor);
    await eventually('the reader that resumes has the newest event', () => expect(again.numbers.at(-1)).toBe(8));
    expect(again.numbers).toEqual(expect.arrayContaining(inBetween.map(({ n }) => n)));
    expect(again.gaps).toEqual([]);
  });
});
