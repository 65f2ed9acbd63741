import { once } from 'node:events';
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { register } from 'prom-client';
import { EventLog, faultsIn, type EventMembers } from '../../../../test/support/event-log.js';
import { FeedListener, feedAt, openAt, type Wish } from '../../../../test/support/feed-listener.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, type Server } from '../../../../test/support/servers.js';
import { decodeCursor } from './event-cursor.js';
import type { EventFeed, FeedLimits } from './event-feed.js';
import type { EventSubscription } from './event-subscription.js';

const SHARDS = 4;
let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let log: EventLog;
let feed: EventFeed;
let keySpaces = 0;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(() => {
  keys = new RegistryKeys(`feed${keySpaces++}`);
  log = new EventLog(redis, keys, SHARDS);
  feed = newFeed();
});

afterEach(() => feed.stop());

function newFeed(limits: Partial<FeedLimits> = {}): EventFeed {
  return feedAt({ url: server.url, redis, keys, shards: SHARDS }, limits);
}

/** Calls `act` with another feed, and stops that feed. */
async function withFeed(limits: Partial<FeedLimits>, act: (feed: EventFeed) => Promise<void>): Promise<void> {
  const own = newFeed(limits);
  try {
    await act(own);
  } finally {
    await own.stop();
  }
}

function open({ of = feed, ...options }: Wish & { of?: EventFeed } = {}): Promise<EventSubscription> {
  return openAt(of, options);
}

async function subscribe(options: Wish & { of?: EventFeed } = {}): Promise<FeedListener> {
  return new FeedListener(await open(options));
}

/** Appends events with running numbers. @returns the numbers */
async function append(shard: number, count: number, more: EventMembers = {}): Promise<number[]> {
  return (await log.append(shard, count, more)).map(({ n }) => n);
}

const KILOBYTE = { filling: 'x'.repeat(1000) };

describe('EventFeed', () => {
  it('passes each event of every shard to every subscriber once, in the order of its shard', async () => {
    await append(0, 5);
    const listeners = await Promise.all([subscribe(), subscribe(), subscribe()]);
    const added = await Promise.all([0, 1, 2, 3].map((shard) => append(shard, 300, { at: 5000 })));
    for (const listener of listeners) {
      await eventually('the subscriber has all 1,200 events', () => expect(listener.numbers).toHaveLength(1200));
      for (const [shard, wanted] of added.entries()) expect(inShard(listener, shard)).toEqual(wanted);
      expect(listener.received[0]).toMatchObject({
        event: 'message.status',
        data: { type: 'message.status', at: new Date(5000).toISOString() },
      });
    }
  });

  it('keeps the order of the events of a shard across its streams', async () => {
    const first = await begun();
    const { lastId } = first;
    const added: number[] = [];
    for (let i = 0; i < 40; i++)
      added.push(...(await append(1, 1, { type: i % 3 === 0 ? 'connection.refused' : 'connection.online' })));
    await eventually('the subscriber that follows has all events in order', () => expect(first.numbers).toEqual(added));
    const again = await subscribe({ after: lastId });
    await eventually('the subscriber that resumes has all events in order', () => expect(again.numbers).toEqual(added));
  });

  it('passes on only events of the requested types and client', async () => {
    const offline = await subscribe({ types: ['connection.offline', 'connection.online'] });
    const one = await subscribe({ clientId: 'client-1', shard: 1 });
    const none = await subscribe({ clientId: 'client-1', types: ['shard.moved'], shard: 1 });
    const status = await append(1, 3);
    const [gone] = await append(2, 1, { type: 'connection.offline' });
    const everything = await subscribe();
    const [last] = await append(1, 1, { client_id: 'another' });
    await eventually('the subscriber without a filter has the last event', () =>
      expect(everything.numbers).toContain(last),
    );
    expect(offline.numbers).toEqual([gone]);
    expect(one.numbers).toEqual(status);
    expect(none.received).toEqual([]);
  });

  it('sends heartbeats with the cursor it has reached, even if no event matched', async () => {
    await withFeed({ heartbeatMs: 100 }, async (beating) => {
      const listener = await subscribe({ types: ['connection.online'], of: beating });
      await append(0, 3);
      const [seconds = '0'] = await redis.time();
      await eventually('a heartbeat carries a cursor later than the last event', () =>
        expect(decodeCursor(listener.lastId) ?? 0).toBeGreaterThan(Number(seconds) * 1000),
      );
      expect(listener.received).toEqual([]);
    });
  });

  it('admits subscribers up to its limit, and another one when one has left', async () => {
    await withFeed({ subscribers: 1 }, async (small) => {
      const { stream } = await subscribe({ of: small });
      expect(small.full).toBe(true);
      expect(await small.subscribe({ types: undefined, clientId: undefined }, undefined)).toBeUndefined();
      stream.destroy();
      await eventually('the feed has room again', () => expect(small.full).toBe(false));
      const next = await subscribe({ of: small });
      const [n] = await append(0, 1);
      await eventually('the new subscriber has the event', () => expect(next.numbers).toEqual([n]));
    });
  });

  it('admits subscribers up to its limit if several come at the same time', async () => {
    await withFeed({ subscribers: 2 }, async (small) => {
      const asked = Array.from({ length: 5 }, () =>
        small.subscribe({ types: undefined, clientId: undefined }, undefined),
      );
      const admitted = (await Promise.all(asked)).filter((stream) => stream !== undefined);
      expect(admitted).toHaveLength(2);
    });
  });

  it('ends every stream with an event that says why, when the feed stops', async () => {
    const stopped = newFeed();
    const listeners = await Promise.all([subscribe({ of: stopped }), subscribe({ of: stopped })]);
    await stopped.stop();
    for (const listener of listeners) {
      await eventually('the stream has ended', () => expect(listener.closed).toBe(true));
      expect(listener.received).toMatchObject([{ event: 'closed', data: { reason: 'shutting-down' } }]);
    }
  });
});

describe('EventSubscription that takes nothing', () => {
  // By default a gateway has ten seconds to stop.
  it.each([undefined, 'too-slow'] as const)(
    'does not delay a stop of the feed (ended before: %s)',
    async (ended) => {
      const stopped = newFeed();
      const stuck = await open({ of: stopped });
      if (ended !== undefined) stuck.finish(ended);
      const closed = once(stuck.stream, 'close');
      await stopped.stop();
      await closed;
    },
    9000,
  );
});

describe('EventSubscription that resumes', () => {
  it('resumes from any id it has received, on any gateway, and misses no event', async () => {
    const first = await subscribe();
    const added = [...(await append(0, 40)), ...(await append(3, 40)), ...(await append(1, 40))];
    await eventually('the subscriber has all 120 events', () => expect(first.numbers).toHaveLength(120));
    await withFeed({}, async (another) => {
      const during = append(0, 500);
      for (const cut of [0, 1, 57, 119]) {
        const { id = '' } = first.received[cut] ?? {};
        const seen = first.numbers.slice(0, cut + 1);
        const rest = await subscribe({ after: id, of: cut % 2 === 0 ? feed : another });
        const more = [...added, ...(await during)];
        await eventually('both streams together have every event', () =>
          expect(new Set([...seen, ...rest.numbers])).toEqual(new Set(more)),
        );
        expect(rest.numbers.length).toBe(new Set(rest.numbers).size);
        for (let shard = 0; shard < SHARDS; shard++)
          expect(inShard(rest, shard)).toEqual(inShard(rest, shard).toSorted(byNumber));
        expect(rest.gaps).toEqual([]);
      }
    });
  });

  it('joins the subscribers that follow, and gets the same ids as they do', async () => {
    const live = await begun();
    const { lastId } = live;
    const added = await append(0, 300);
    await eventually('the subscriber that follows has all events', () => expect(live.numbers).toEqual(added));
    const late = await subscribe({ after: lastId });
    await eventually('the subscriber that resumes has all events', () => expect(late.numbers).toEqual(added));
    const [n] = await append(2, 1);
    await eventually('both subscribers have the newest event', () =>
      expect([live.numbers.at(-1), late.numbers.at(-1)]).toEqual([n, n]),
    );
    expect(late.numbers).toHaveLength(301);
    expect(late.received.at(-1)?.id).toBe(live.received.at(-1)?.id);
  });

  it('gets a repeated event with the same event_id', async () => {
    const first = await begun();
    const { lastId } = first;
    await append(2, 3);
    await eventually('the first subscriber has three events', () => expect(first.numbers).toHaveLength(3));
    const again = await subscribe({ after: lastId });
    await eventually('the second subscriber has the same three events', () => expect(again.numbers).toHaveLength(3));
    const ids = ({ received }: FeedListener): unknown[] => received.map(({ data }) => data['event_id']);
    expect(ids(again)).toEqual(ids(first));
    expect(ids(first)).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/^2-\d+-\d+$/) as unknown));
  });
});

describe('the gap event', () => {
  it('sends a gap before the first kept event if events after the cursor are gone', async () => {
    const { lastId } = await begun();
    await append(1, 20, KILOBYTE);
    await log.trim(1, 10_000);
    const kept = await redis.xlen(keys.events(1));
    expect(kept).toBeLessThan(6);
    const late = await subscribe({ after: lastId });
    await eventually('the subscriber has all events that were kept', () => expect(late.numbers).toHaveLength(kept));
    const gaps = late.events.filter((event) => event === 'gap');
    expect(late.events).toEqual([...gaps, ...late.numbers.map(() => 'message.status')]);
    expect(late.received[0]?.data).toMatchObject({ type: 'gap', shard: 1, streams: ['state'] });
  });

  it('sends a gap if events are trimmed while a reader catches up', async () => {
    const { lastId } = await begun();
    const added: number[] = [];
    for (let i = 0; i < 4; i++) added.push(...(await append(1, 500, KILOBYTE)));
    const slow = await open({ after: lastId });
    // It has read its first page, and waits until the client takes it.
    await eventually('the first page waits to be taken', () =>
      expect(slow.stream.readableLength).toBeGreaterThan(16_000),
    );
    await log.trim(1, 400_000);
    const listener = new FeedListener(slow);
    await eventually('the subscriber has the newest event', () => expect(listener.numbers.at(-1)).toBe(added.at(-1)));
    expect(listener.numbers[0]).toBe(added[0]);
    expect(listener.numbers.length).toBeLessThan(added.length);
    expect(new Set(listener.gaps)).toEqual(new Set([1]));
  });

  it('sends no gap if the trimmed events had been read', async () => {
    const first = await begun();
    await append(1, 20, KILOBYTE);
    await eventually('the subscriber has all 20 events', () => expect(first.numbers).toHaveLength(20));
    await log.trim(1, 4000);
    const [n] = await append(1, 1);
    await eventually('the subscriber has the newest event', () => expect(first.numbers.at(-1)).toBe(n));
    expect(first.gaps).toEqual([]);
  });

  it('sends a gap to subscribers that follow if Redis was emptied', async () => {
    const first = await begun();
    await append(1, 3);
    await eventually('the subscriber has three events', () => expect(first.numbers).toHaveLength(3));
    await redis.flushall();
    const added = await append(1, 2);
    await eventually('the subscriber has the events after the loss', () =>
      expect(first.numbers.slice(3)).toEqual(added),
    );
    await eventually('the subscriber has a gap for every shard', () =>
      expect(first.gaps.toSorted(byNumber)).toEqual([0, 1, 2, 3]),
    );
  });

  it('sends a gap to subscribers that resume if Redis was emptied in between', async () => {
    const first = await begun();
    await append(1, 3);
    await eventually('the first subscriber has three events', () => expect(first.numbers).toHaveLength(3));
    await redis.flushall();
    await withFeed({}, async (another) => {
      const late = await subscribe({ after: first.lastId, of: another });
      await eventually('the subscriber that resumes has a gap for every shard', () =>
        expect(late.gaps.toSorted(byNumber)).toEqual([0, 1, 2, 3]),
      );
      const added = await append(1, 2);
      await eventually('the subscriber that resumes has the events after the loss', () =>
        expect(late.numbers).toEqual(added),
      );
    });
  });

  it('sends a gap to a subscriber of one client only for the shard of that client', async () => {
    const { lastId } = await begun();
    for (const shard of [1, 2]) {
      await append(shard, 20, KILOBYTE);
      await log.trim(shard, 4000);
    }
    const late = await subscribe({ after: lastId, clientId: 'client-2', shard: 2 });
    await eventually('the subscriber has events of its client', () => expect(late.numbers.length).toBeGreaterThan(0));
    expect(new Set(late.gaps)).toEqual(new Set([2]));
  });
});

describe('EventSubscription that is slow', () => {
  it('serves a slow subscriber at its own pace, and the others miss no event', async () => {
    const subscription = await open();
    const quick = await subscribe();
    const added: number[] = [];
    for (let i = 0; i < 30; i++) added.push(...(await append(i % SHARDS, 50, { filling: 'x'.repeat(500) })));
    await eventually('the quick subscriber has all events', () => expect(quick.numbers).toHaveLength(added.length));
    expect(subscription.stream.readableLength).toBeLessThan(100_000);
    const slow = new FeedListener(subscription);
    await eventually('the slow subscriber has all events', () => expect(slow.numbers).toHaveLength(added.length));
    expect(slow.numbers.toSorted(byNumber)).toEqual(added.toSorted(byNumber));
    for (let shard = 0; shard < SHARDS; shard++)
      expect(inShard(slow, shard)).toEqual(inShard(slow, shard).toSorted(byNumber));
    const [n] = await append(2, 1);
    await eventually('both subscribers have the newest event', () =>
      expect([slow.numbers.at(-1), quick.numbers.at(-1)]).toEqual([n, n]),
    );
  });

  it('loses no event if all subscribers together exceed the shared buffer', async () => {
    await withFeed({ subscribers: 2, totalBufferBytes: 40_000 }, async (small) => {
      const listeners = await Promise.all([subscribe({ of: small }), subscribe({ of: small })]);
      const added = await append(0, 300, { filling: 'x'.repeat(100) });
      for (const listener of listeners)
        await eventually('the subscriber has all events in order', () => expect(listener.numbers).toEqual(added));
    });
  });

  it('keeps all subscribers together within the buffer of the gateway, and refuses one more', async () => {
    const total = 100_000;
    await withFeed({ subscribers: 1000, totalBufferBytes: total }, async (small) => {
      const { maxSubscribers: places } = small.buffered;
      // A page of 4 KiB for each, in half of it.
      expect(places).toBe(12);
      const subscriptions = await Promise.all(
        Array.from({ length: places }, (_, i) =>
          open({ of: small, ...(i % 2 === 0 && { types: ['message.status'] }) }),
        ),
      );
      expect(await small.subscribe({ types: undefined, clientId: undefined }, undefined)).toBeUndefined();
      const added: number[] = [];
      for (let i = 0; i < 20; i++) {
        added.push(...(await append(i % SHARDS, 40, { filling: 'x'.repeat(300) })));
        expect(await bufferedBytes()).toBeLessThanOrEqual(total);
      }
      expect(await bufferedBytes()).toBeGreaterThan(total / 3);
      const listeners = subscriptions.map((subscription) => new FeedListener(subscription));
      for (const listener of listeners) {
        await eventually('the subscriber has all events', () => expect(listener.numbers).toHaveLength(added.length));
        expect(faultsIn(listener.received, log.appended)).toEqual([]);
      }
      expect(await bufferedBytes()).toBeLessThanOrEqual(total);
    });
    expect(await bufferedBytes()).toBe(0);
  });

  it('ends a subscriber that takes nothing for too long, and gives the reason if it reads again', async () => {
    await withFeed({ stalledMs: 100 }, async (impatient) => {
      const subscription = await open({ of: impatient });
      await append(0, 200, KILOBYTE);
      await eventually('the stream is ended as too slow', () => expect(subscription.reason).toBe('too-slow'));
      const slow = new FeedListener(subscription);
      await eventually('the client has read the stream to its end', () => expect(slow.closed).toBe(true));
      expect(slow.received.at(-1)).toMatchObject({ event: 'closed', data: { reason: 'too-slow' } });
    });
  });
});

/** Bytes that the feeds of this process buffer for their subscribers. */
async function bufferedBytes(): Promise<number> {
  const buffered = await register.getSingleMetric('cloud_connector_event_buffered_bytes')?.get();
  return Number(buffered?.values[0]?.value);
}

/** A listener that has its first id. */
async function begun(): Promise<FeedListener> {
  const listener = await subscribe();
  await eventually('the subscriber has its first id', () => expect(listener.lastId).not.toBe(''));
  return listener;
}

function inShard({ received }: FeedListener, shard: number): number[] {
  return received.filter(({ data }) => data['shard'] === shard && 'n' in data).map(({ data }) => Number(data['n']));
}

function byNumber(a: unknown, b: unknown): number {
  return Number(a) - Number(b);
}
