import { once } from 'node:events';
import { connectRedis, type Redis } from '@app/platform';
import { EVENTS_KEPT, EventStreams, RegistryKeys, type EventType } from '@app/registry';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet, type Server } from '../../../../test/support/servers.js';
import { decodeCursor } from './event-cursor.js';
import { EventFeed, type FeedLimits } from './event-feed.js';
import type { EventSubscription } from './event-subscription.js';

const SHARDS = 4;
const LIMITS: FeedLimits = { subscribers: 100, bufferBytes: 100_000, heartbeatMs: 60_000 };

let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let feed: EventFeed;
let keySpaces = 0;
let numbers = 0;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(() => {
  keys = new RegistryKeys(`feed${keySpaces++}`);
  feed = newFeed();
});

afterEach(() => feed.stop());

function newFeed(limits: Partial<FeedLimits> = {}): EventFeed {
  const reader = connectRedis(server.url, { name: 'spec-feed', whenAway: 'wait' }, quiet);
  return new EventFeed(new EventStreams(redis, keys, SHARDS), reader, { ...LIMITS, ...limits }, quiet);
}

interface Told {
  id: string | undefined;
  event: string;
  data: Record<string, unknown>;
}

/** What a subscriber has been told, read as the standard for event streams says. */
class Listener {
  readonly told: Told[] = [];
  lastId = '';
  closed = false;
  private rest = '';

  constructor(readonly stream: EventSubscription) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.read(text));
    stream.on('end', () => (this.closed = true));
  }

  get numbers(): unknown[] {
    return this.told.filter(({ data }) => 'n' in data).map(({ data }) => data['n']);
  }

  private read(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map((line) => line.split(/: ?(.*)/s, 2) as [string, string]));
      this.lastId = fields.get('id') ?? this.lastId;
      const data = fields.get('data');
      if (data === undefined) continue;
      const parsed = JSON.parse(data) as Told['data'];
      this.told.push({ id: fields.get('id'), event: fields.get('event') ?? '', data: parsed });
    }
  }
}

interface Wish {
  types?: EventType[];
  clientId?: string;
  after?: string;
  only?: number;
  of?: EventFeed;
}

async function subscribe({ types, clientId, after, only, of = feed }: Wish = {}): Promise<Listener> {
  const from = after === undefined ? undefined : decodeCursor(after, SHARDS);
  return new Listener(await of.subscribe({ types: types && new Set(types), clientId }, from, only));
}

/** Appends events with running numbers. @returns the numbers */
async function append(shard: number, count: number, more: Record<string, unknown> = {}): Promise<number[]> {
  const pipeline = redis.pipeline();
  const added: number[] = [];
  for (let i = 0; i < count; i++) {
    const event = { type: 'message.status', client_id: `client-${shard}`, n: numbers, ...more };
    pipeline.xadd(keys.events(shard), 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', 5000, 'event', JSON.stringify(event));
    added.push(numbers++);
  }
  await pipeline.exec();
  return added;
}

it('tells every subscriber each event of every shard once, in the order of its shard', async () => {
  await append(0, 5);
  const listeners = await Promise.all([subscribe(), subscribe(), subscribe()]);
  const added = await Promise.all([0, 1, 2, 3].map((shard) => append(shard, 300)));
  for (const { told, numbers: got } of await all(listeners, 1200)) {
    for (const [shard, wanted] of added.entries()) {
      expect(told.filter(({ data }) => data['shard'] === shard).map(({ data }) => data['n'])).toEqual(wanted);
    }
    expect(got).toHaveLength(1200);
    expect(told[0]).toMatchObject({
      event: 'message.status',
      data: { type: 'message.status', at: new Date(5000).toISOString() },
    });
  }
});

it('tells what was asked for: types, and one client', async () => {
  const offline = await subscribe({ types: ['connection.offline', 'connection.online'] });
  const one = await subscribe({ clientId: 'client-1', only: 1 });
  const none = await subscribe({ clientId: 'client-1', types: ['shard.moved'], only: 1 });
  const status = await append(1, 3);
  const [gone] = await append(2, 1, { type: 'connection.offline' });
  const everything = await subscribe();
  const [last] = await append(1, 1, { client_id: 'another' });
  await eventually(() => expect(everything.numbers).toContain(last));
  expect(offline.numbers).toEqual([gone]);
  expect(one.numbers).toEqual(status);
  expect(none.told).toEqual([]);
});

it('goes on from any id it has told, on any gateway, and misses and repeats nothing', async () => {
  const first = await subscribe();
  const added = [...(await append(0, 40)), ...(await append(3, 40)), ...(await append(1, 40))];
  await eventually(() => expect(first.numbers).toHaveLength(120));
  const another = newFeed();
  try {
    const during = append(0, 500);
    for (const cut of [0, 1, 57, 119]) {
      const { id = '' } = first.told[cut] ?? {};
      const seen = first.numbers.slice(0, cut + 1);
      const rest = await subscribe({ after: id, of: cut % 2 === 0 ? feed : another });
      const more = [...added, ...(await during)];
      await eventually(() => expect([...seen, ...rest.numbers].toSorted(byNumber)).toEqual(more.toSorted(byNumber)));
      expect(inShard(rest, 0)).toEqual(inShard(rest, 0).toSorted(byNumber));
    }
  } finally {
    await another.stop();
  }
});

it('joins those that listen from now on, and from then on has their ids', async () => {
  const live = await subscribe();
  await append(0, 300);
  await eventually(() => expect(live.numbers).toHaveLength(300));
  const late = await subscribe({ after: live.told[10]?.id ?? '' });
  await eventually(() => expect(late.numbers).toHaveLength(289));
  const [n] = await append(2, 1);
  await eventually(() => expect([live.numbers.at(-1), late.numbers.at(-1)]).toEqual([n, n]));
  expect(late.told.at(-1)?.id).toBe(live.told.at(-1)?.id);
});

it('tells of a gap where events behind the cursor are gone, and goes on with the first that is kept', async () => {
  const first = await subscribe();
  await append(1, 2);
  await eventually(() => expect(first.numbers).toHaveLength(2));
  const { id = '' } = first.told[0] ?? {};
  const kept = await append(1, 3);
  await redis.xtrim(keys.events(1), 'MAXLEN', 3);
  const late = await subscribe({ after: id });
  await eventually(() => expect(late.numbers).toEqual(kept));
  expect(late.told.map(({ event }) => event)).toEqual(['gap', ...kept.map(() => 'message.status')]);
  expect(late.told[0]?.data).toMatchObject({ type: 'gap', shard: 1 });
});

it('tells of no gap where the event at the cursor is the first that is kept, or a shard had none', async () => {
  const first = await subscribe();
  await append(1, 3);
  await eventually(() => expect(first.numbers).toHaveLength(3));
  const added = await append(2, 2);
  await redis.xtrim(keys.events(1), 'MAXLEN', 1);
  const late = await subscribe({ after: first.told[2]?.id ?? '' });
  await eventually(() => expect(late.numbers).toEqual(added));
  expect(late.told.map(({ event }) => event)).not.toContain('gap');
});

it('tells of a gap where Redis has lost the stream', async () => {
  const first = await subscribe();
  await append(1, 3);
  await eventually(() => expect(first.numbers).toHaveLength(3));
  const after = first.lastId;
  await redis.del(keys.events(1));
  const another = newFeed();
  try {
    const late = await subscribe({ after, of: another });
    await eventually(() => expect(late.told.map(({ event, data }) => [event, data['shard']])).toEqual([['gap', 1]]));
    const added = await append(1, 2);
    await eventually(() => expect(late.numbers).toEqual(added));
  } finally {
    await another.stop();
  }
});

it('cuts off a subscriber that takes nothing, tells it so, and others miss nothing', async () => {
  const stream = await feed.subscribe({ types: undefined, clientId: undefined }, undefined, undefined);
  const quick = await subscribe();
  const over = once(stream, 'over');
  const added: number[] = [];
  for (let i = 0; i < 30; i++) added.push(...(await append(i % SHARDS, 50, { filling: 'x'.repeat(100) })));
  expect(await over).toEqual(['too-slow']);
  expect(stream.readableLength).toBeLessThan(2 * LIMITS.bufferBytes);
  const slow = new Listener(stream);
  await eventually(() => expect(slow.closed).toBe(true));
  expect(slow.told.at(-1)).toMatchObject({ event: 'closed', data: { reason: 'too-slow' } });
  // It resumes behind what it got.
  const resumed = await subscribe({ after: slow.lastId });
  await eventually(() =>
    expect([...slow.numbers, ...resumed.numbers].toSorted(byNumber)).toEqual(added.toSorted(byNumber)),
  );
  await eventually(() => expect(quick.numbers).toHaveLength(added.length));
});

it('shows that it lives, and how far it has read though nothing matched', async () => {
  const beating = newFeed({ heartbeatMs: 100 });
  try {
    const listener = await subscribe({ types: ['connection.online'], of: beating });
    await append(0, 3);
    const last = (await redis.xrevrange(keys.events(0), '+', '-', 'COUNT', 1))[0]?.[0];
    await eventually(() => expect(decodeCursor(listener.lastId, SHARDS)?.[0]).toBe(last));
    expect(listener.told).toEqual([]);
    const rest = await subscribe({ after: listener.lastId, of: beating });
    const [n] = await append(0, 1);
    await eventually(() => expect(rest.numbers).toEqual([n]));
  } finally {
    await beating.stop();
  }
});

it('takes no more subscribers than it may, and one more when one has left', async () => {
  const small = newFeed({ subscribers: 1 });
  try {
    const { stream } = await subscribe({ of: small });
    expect(small.full).toBe(true);
    stream.destroy();
    await eventually(() => expect(small.full).toBe(false));
    const next = await subscribe({ of: small });
    const [n] = await append(0, 1);
    await eventually(() => expect(next.numbers).toEqual([n]));
  } finally {
    await small.stop();
  }
});

it('ends every stream with a last event that says why, when it stops', async () => {
  const stopped = newFeed();
  const listeners = await Promise.all([subscribe({ of: stopped }), subscribe({ of: stopped })]);
  await stopped.stop();
  for (const listener of listeners) {
    await eventually(() => expect(listener.closed).toBe(true));
    expect(listener.told).toMatchObject([{ event: 'closed', data: { reason: 'shutting-down' } }]);
  }
});

async function all(listeners: Listener[], count: number): Promise<Listener[]> {
  for (const listener of listeners) await eventually(() => expect(listener.numbers).toHaveLength(count));
  return listeners;
}

function inShard({ told }: Listener, shard: number): number[] {
  return told.filter(({ data }) => data['shard'] === shard).map(({ data }) => Number(data['n']));
}

function byNumber(a: unknown, b: unknown): number {
  return Number(a) - Number(b);
}
