/** A reader resumes at any position: no event is missing, and the events of each client keep their order. */
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import fc from 'fast-check';
import { EventListener } from '../../../../test/support/event-listener.js';
import { EventLog, faultsIn } from '../../../../test/support/event-log.js';
import type { SseEvent } from '../../../../test/support/event-text.js';
import { feedAt, listenAt, type FeedListener } from '../../../../test/support/feed-listener.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { Random, seedOfRun } from '../../../../test/support/random.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';
import { decodeCursor } from './event-cursor.js';
import type { EventFeed } from './event-feed.js';

const SHARDS = 4;
const CLIENTS = 10;
const TYPES = ['message.status', 'connection.refused', 'connection.online'];
/** How much the clocks of masters may differ: a resume repeats two seconds. */
const SKEW_MS = 1500;
/** `npm run test:repeat -- events` raises it. */
const RUNS = Number(process.env['EVENT_RUNS'] ?? 25);

let redis: Redis;
let url: string;
let keys: RegistryKeys;
let log: EventLog;
let feeds: EventFeed[];
let keySpaces = 0;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeEach(() => begin());
afterEach(() => end());

function begin(): void {
  keys = new RegistryKeys(`resume${keySpaces++}`);
  log = new EventLog(redis, keys, SHARDS);
  // Two gateways; at the second the queue of a reader soon overflows.
  feeds = [{}, { bufferBytes: 16_000 }].map((limits) => feedAt({ url, redis, keys, shards: SHARDS }, limits));
}

async function end(): Promise<void> {
  await Promise.all(feeds.map((feed) => feed.stop()));
}

function feed(i: number): EventFeed {
  const [first, second] = feeds;
  const chosen = i % 2 === 0 ? first : second;
  if (chosen === undefined) throw new Error('no feed');
  return chosen;
}

/** Appends one to five events of a client. */
async function appendSome(client: number, type: number, count: number): Promise<void> {
  await log.append(client % SHARDS, count, { client_id: `client-${client}`, type: TYPES[type] ?? '' });
}

/** Expects that the reader has every event. */
function isWhole({ numbers }: FeedListener): void {
  expect(new Set(numbers).size).toBe(log.appended.length);
}

it('EventFeed sends every later event in order to a reader that resumes at any of 100 random positions', async () => {
  const random = new Random(seedOfRun());
  const follower = await listenAt(feed(0));
  await eventually('the follower has its first id', () => expect(follower.lastId).not.toBe(''));
  const begin = follower.lastId;
  let clock = Date.now() + 10_000;
  for (let i = 0; i < 200; i++) {
    // More than an hour passes on the clocks of the masters, which differ.
    clock += random.below(40_000);
    for (let shard = 0; shard < SHARDS; shard++) await log.setClock(shard, clock + random.below(SKEW_MS));
    for (let n = 0; n < 3; n++) await appendSome(random.below(CLIENTS), random.below(3), 1 + random.below(3));
  }
  const catchingUp = await listenAt(feed(1), { after: begin });
  for (const reader of [follower, catchingUp]) await eventually('the reader has every event', () => isWhole(reader));
  let late = 0;
  const resumeAt = async (at: number, i: number): Promise<void> => {
    const { received } = i % 2 === 0 ? follower : catchingUp;
    const what = `seed ${random.seed}, reader ${i % 2}, position ${at}`;
    const before = received.slice(0, at + 1).map(({ data }) => data['event_id']);
    const wanted = log.appended.filter(({ event_id }) => !before.includes(event_id));
    const reader = await listenAt(feed(random.below(2)), { after: received[at]?.id ?? '' });
    await eventually(`${what}: the reader has every later event`, () => {
      const got = reader.received.map(({ data }) => data['event_id']);
      expect(new Set([...before, ...got]).size).toBe(log.appended.length);
    });
    expect([what, ...faultsIn(reader.received, wanted), ...reader.gaps]).toEqual([what]);
    if (!reader.numbers.includes(0)) late++;
    reader.stream.destroy();
  };
  for (let i = 0; i < 100; i += 10) {
    const positions = Array.from({ length: 10 }, () => random.below(log.appended.length));
    await Promise.all(positions.map(resumeAt));
  }
  // Not all of them began at the first event.
  expect(late).toBeGreaterThan(20);
});

it('EventFeed keeps the order of each client and loses nothing without a gap, whatever readers, clocks, trims and pauses do', async () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(
        fc.constant('append' as const),
        fc.nat(CLIENTS - 1),
        fc.nat(2),
        fc.integer({ min: 1, max: 5 }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.constant('wait' as const), fc.nat(SHARDS - 1), fc.integer({ min: 1, max: 3000 })),
    },
    { weight: 2, arbitrary: fc.tuple(fc.constant('resume' as const), fc.nat(1)) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constant('trim' as const), fc.nat(SHARDS - 1), fc.integer({ min: 500, max: 4000 })),
    },
    { weight: 2, arbitrary: fc.tuple(fc.constant('pause' as const)) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }), async (steps) => {
      await end();
      begin();
      let reader = await listenAt(feed(0));
      await eventually('the reader has its first id', () => expect(reader.lastId).not.toBe(''));
      let cursor = reader.lastId;
      const received: SseEvent[] = [];
      const clocks = Array.from({ length: SHARDS }, () => Date.now() + 10_000);
      for (const [what, ...args] of steps) {
        const [a = 0, b = 0, c = 0] = args;
        if (what === 'append') await appendSome(a, b, c);
        if (what === 'trim') await log.trim(a, b);
        if (what === 'pause') reader.stream[reader.stream.isPaused() ? 'resume' : 'pause']();
        if (what === 'wait') {
          clocks[a] = Math.max(...clocks) - (b % SKEW_MS) + b;
          await log.setClock(a, clocks[a]);
        }
        if (what === 'resume') {
          received.push(...reader.received);
          reader.stream.destroy();
          // A reader without a new id resumes with its last one again, as the standard says.
          cursor = reader.lastId === '' ? cursor : reader.lastId;
          reader = await listenAt(feed(a), { after: cursor });
        }
      }
      const last: unknown[] = [];
      for (let shard = 0; shard < SHARDS; shard++) {
        last.push(...(await log.append(shard, 1, { client_id: `last-${shard}` })).map(({ n }) => n));
      }
      reader.stream.resume();
      await eventually('the reader has the last event of every shard', () =>
        expect(reader.numbers).toEqual(expect.arrayContaining(last)),
      );
      expect(faultsIn([...received, ...reader.received], log.appended)).toEqual([]);
      expect(faultsIn(reader.received, [])).toEqual([]);
      reader.stream.destroy();
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
});

it('EventFeed never lets the ids of a reader that falls behind go back', async () => {
  const reader = await listenAt(feed(1));
  const start = Date.now() + 10_000;
  for (let i = 0; i < 5; i++) {
    for (let shard = 0; shard < SHARDS; shard++) await log.setClock(shard, start + i * 10_000);
    for (let shard = 0; shard < SHARDS; shard++) await log.append(shard, 1);
    await eventually('the reader has every event', () => isWhole(reader));
  }
  reader.stream.pause();
  for (let i = 0; i < 20; i++) await log.append(i % SHARDS, 20, { filling: 'x'.repeat(300) });
  reader.stream.resume();
  await eventually('the reader that fell behind has every event', () => isWhole(reader));
  const times = reader.received.map(({ id }) => decodeCursor(id));
  expect(times).toEqual(times.toSorted((a = 0, b = 0) => a - b));
});

it('the cursor of 4,096 shards has 10 characters, and a reader that resumes with it misses no event', async () => {
  const many = 4096;
  const settings = { REDIS_URL: url, KEY_PREFIX: `many${keySpaces++}`, SHARD_COUNT: `${many}` };
  const gateway = await GatewayApp.listen(settings);
  try {
    log = new EventLog(redis, new RegistryKeys(settings.KEY_PREFIX), many);
    const first = await eventually('the stream begins', () => EventListener.open(gateway.url));
    for (const shard of [0, 77, 2048, many - 1]) await log.append(shard, 3);
    await first.until('the first reader has all twelve events', () => expect(first.received).toHaveLength(12));
    expect(first.lastId).toMatch(/^[\w-]{10}$/);
    first.close();
    for (const shard of [77, many - 2]) await log.append(shard, 2);
    // The gateway answers 503 if Redis takes too long for 4,096 shards; a client then tries again.
    const second = await eventually('the stream resumes', () => EventListener.open(gateway.url, {}, first.lastId));
    await second.until('both readers together have every event', () =>
      expect(faultsIn([...first.received, ...second.received], log.appended)).toEqual([]),
    );
    expect(second.received.map(({ event }) => event)).not.toContain('gap');
    second.close();
  } finally {
    await gateway.stop();
  }
});
