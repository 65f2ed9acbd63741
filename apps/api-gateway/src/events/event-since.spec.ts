/** Streams that begin at a time: nothing from before it, everything from then on, and then what happens. */
import type { Redis } from '@app/platform';
import { RegistryKeys, positionAt, type EventPage, type StoredEvent } from '@app/registry';
import { Api, type ProblemView } from '../../../../test/support/api.js';
import { EventListener } from '../../../../test/support/event-listener.js';
import { EventLog, faultsIn, msOf } from '../../../../test/support/event-log.js';
import { feedAt, listenAt, type FeedListener } from '../../../../test/support/feed-listener.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { EventBatch } from './event-batch.js';
import { encodeCursor } from './event-cursor.js';
import type { EventFeed } from './event-feed.js';

const SHARDS = 4;
const EVERY_SHARD = Array.from({ length: SHARDS }, (_, shard) => shard);
const KILOBYTE = { filling: 'x'.repeat(1000) };

let redis: Redis;
let url: string;
let keySpaces = 0;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

describe('a stream that begins at a time', () => {
  let log: EventLog;
  let keys: RegistryKeys;
  let feed: EventFeed;
  /** Ahead of the real time, so that the clocks of the logs stand as the spec sets them. */
  let start: number;

  beforeEach(() => {
    keys = new RegistryKeys(`since${keySpaces++}`);
    log = new EventLog(redis, keys, SHARDS);
    feed = feedAt({ url, redis, keys, shards: SHARDS });
    start = Date.now() + 60_000;
  });

  afterEach(() => feed.stop());

  /** Three events of each shard, so many milliseconds after the start. */
  async function appendAt(ms: number): Promise<void> {
    for (const shard of EVERY_SHARD) {
      await log.setClock(shard, start + ms);
      await log.append(shard, 3);
    }
  }

  /** Expects the events from then on, each once, and no gap. */
  function expectFrom(listener: FeedListener, sinceMs: number): void {
    const wanted = log.appended.filter((event) => msOf(event) >= sinceMs);
    expect(listener.numbers.toSorted((a, b) => Number(a) - Number(b))).toEqual(wanted.map(({ n }) => n));
    expect([...faultsIn(listener.received, wanted), ...listener.gaps]).toEqual([]);
  }

  it.each([
    ['that has a subscriber already', true],
    ['that has none yet', false],
  ])('has no event from before it, at a feed %s, and goes on with new ones', async (_, isRunning) => {
    const first = isRunning ? await listenAt(feed) : undefined;
    // A resume would begin at the first of these.
    for (const ms of [0, 999, 1000, 1001, 1500]) await appendAt(ms);
    if (first !== undefined) {
      await eventually('the first one has all events', () => expect(first.numbers).toHaveLength(log.appended.length));
    }
    const [exact, last, none] = [start + 1000, start + 1500, start + 1501];
    const listeners = await Promise.all([exact, last].map((sinceMs) => listenAt(feed, { sinceMs })));
    for (const shard of EVERY_SHARD) await log.setClock(shard, none);
    listeners.push(await listenAt(feed, { sinceMs: none }));
    const begun = listeners[0] as FeedListener;
    await eventually('the older events have come', () => expect(begun.numbers).toHaveLength(3 * 3 * SHARDS));
    for (const ms of [1502, 5000]) await appendAt(ms);
    for (const [i, sinceMs] of [exact, last, none].entries()) {
      await eventually('the new events have come', () => expectFrom(listeners[i] as FeedListener, sinceMs));
    }
  });

  it('has only events of its types and of its client', async () => {
    for (const ms of [0, 1000]) {
      await appendAt(ms);
      await log.append(1, 2, { type: 'connection.refused', client_id: 'one' });
      await log.append(1, 2, { type: 'connection.refused', client_id: 'another' });
    }
    const filter = { types: ['connection.refused' as const], clientId: 'one', shard: 1 };
    const listener = await listenAt(feed, { ...filter, sinceMs: start + 1000 });
    const wanted = log.appended.filter((event) => event.client_id === 'one' && msOf(event) >= start + 1000);
    await eventually('the events have come', () => expect(listener.numbers).toHaveLength(2));
    expect(listener.numbers).toEqual(wanted.map(({ n }) => n));
  });

  it('has a gap of the shard whose events were trimmed, and what was kept', async () => {
    await appendAt(0);
    await log.limit(2, 20_000);
    await log.append(2, 60, { ...KILOBYTE, type: 'connection.refused' });
    await appendAt(1000);
    const listener = await listenAt(feed, { sinceMs: start });
    const newest = log.appended.slice(-3 * SHARDS).map(({ n }) => n);
    await eventually('the newest events have come', () =>
      expect(listener.numbers).toEqual(expect.arrayContaining(newest)),
    );
    expect(listener.numbers.length).toBeLessThan(log.appended.length);
    expect(new Set(listener.gaps)).toEqual(new Set([2]));
    expect(faultsIn(listener.received, log.appended)).toEqual([]);
  });

  it('begins with new events if the time is in the future, whatever the clock of the caller says', async () => {
    await appendAt(0);
    const listener = await listenAt(feed, { sinceMs: start + 3_600_000 });
    const later = await log.append(3, 2);
    await eventually('the new events have come', () => expect(listener.numbers).toHaveLength(2));
    expect(listener.numbers).toEqual(later.map(({ n }) => n));
    expect(listener.gaps).toEqual([]);
    expect(listener.upToMs).toBeLessThan(start + 3_600_000);
  });
});

describe('EventBatch', () => {
  const event = (id: string, at: number): StoredEvent => ({
    ...{ id, at, stream: 0, account: undefined },
    text: '{"type":"message.status","client_id":"c"}',
  });
  const page = (...events: StoredEvent[]): EventPage => ({
    ...{ shard: 0, events, gap: undefined, next: positionAt(2000), upToMs: 2000, complete: true },
  });
  const filter = { types: undefined, clientId: undefined };

  it('makes one text for all subscribers that began before its events, and another one for those that began later', () => {
    // An event may be appended later than it happened.
    const batch = new EventBatch([page(event('1000-1', 1000), event('1000-2', 990))], 2000, [], quiet);
    const all = batch.chunkFor(filter);
    expect(all?.toString().split('data:')).toHaveLength(3);
    expect(batch.chunkFor({ ...filter, sinceMs: 500 })).toBe(all);
    expect(batch.chunkFor({ ...filter, sinceMs: 990 })).toBe(all);
    const later = batch.chunkFor({ ...filter, sinceMs: 991 })?.toString();
    expect(later?.split('data:')).toHaveLength(2);
    expect(later).toContain('0-1000-1');
    expect(batch.chunkFor({ ...filter, sinceMs: 1001 })).toBeUndefined();
  });
});

describe('GET /v1/events?since=', () => {
  let gateway: GatewayApp;
  let log: EventLog;

  beforeAll(async () => {
    const settings = { REDIS_URL: url, KEY_PREFIX: `since${keySpaces++}`, SHARD_COUNT: `${SHARDS}` };
    gateway = await GatewayApp.listen(settings);
    log = new EventLog(redis, new RegistryKeys(settings.KEY_PREFIX), SHARDS);
  });

  afterAll(() => gateway.stop());

  const numbersOf = ({ received }: EventListener): unknown[] => received.map(({ data }) => data['n']);

  it('takes a time with an offset, and ignores it if Last-Event-ID is sent', async () => {
    const start = Date.now() + 60_000;
    const steps = [0, 1000, 4000, 8000];
    for (const ms of steps) {
      for (const shard of EVERY_SHARD) await log.setClock(shard, start + ms);
      await log.append(1, 1);
    }
    const since = new Date(start + 1000 + 3_600_000).toISOString().replace('Z', '+01:00');
    const began = await EventListener.open(gateway.url, { since });
    const older = await EventListener.open(gateway.url, { since }, encodeCursor(start));
    const newer = await EventListener.open(gateway.url, { since }, encodeCursor(start + 9000));
    await log.append(1, 1);
    const everything = [began, older, newer];
    for (const listener of everything) {
      await listener.until('the new event has come', () => expect(numbersOf(listener)).toContain(steps.length));
    }
    expect(everything.map(numbersOf)).toEqual([
      [1, 2, 3, 4],
      [0, 1, 2, 3, 4],
      [3, 4],
    ]);
    for (const listener of everything) listener.close();
  });

  it.each(['yesterday', '2026-11-30', '2026-11-30T06:00:00', '2026-11-30T06:00:00 01:00', '1795000000000', ''])(
    'refuses "%s", and names the parameter and the remedy',
    async (since) => {
      const query = new URLSearchParams({ since }).toString();
      const { status, body } = await new Api(gateway.url).call<ProblemView>('GET', `/v1/events?${query}`);
      expect([status, body.errors]).toEqual([
        422,
        [{ in: 'query', name: 'since', detail: expect.stringContaining('RFC 3339 timestamp such as') as string }],
      ]);
    },
  );
});
