import { Publisher } from '@app/broker';
import {
  RedisBusyError,
  RedisFullError,
  RedisScriptError,
  RedisUnavailableError,
  closeRedis,
  connectRedis,
  type Redis,
} from '@app/platform';
import { TopicTemplate, shardOf } from '@app/protocol';
import {
  Messages,
  Outboxes,
  OutboundWork,
  RegistryKeys,
  claimsReader,
  type ClaimEntry,
  type ClaimedMessage,
  type NewMessage,
} from '@app/registry';
import type { Grant, StreamReader } from '@app/sharding';
import { PubackBroker } from '../../../../test/support/puback-broker.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet } from '../../../../test/support/servers.js';
import type { OutboundDependencies } from './outbound-dependencies.js';
import { OutboundShard } from './outbound-shard.js';
import { IDLE_MS } from './outbound-times.js';
import { Publishing, resultOf } from './publishing.js';
import { Semaphore } from './semaphore.js';

const SHARDS = 4;
const LEASE_MS = 60_000;
const OUT = new TopicTemplate('out/{clientId}');
const TOPICS = { out: OUT, in: new TopicTemplate('in/{clientId}') };
/** Clients of each shard. */
const clients = Array.from({ length: SHARDS }, (_, shard) =>
  Array.from({ length: 400 }, (__, i) => `client-${i}`).filter((id) => shardOf(id, SHARDS) === shard),
);

let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let work: OutboundWork;
let broker: PubackBroker;
let publisher: Publisher;
let owned: Owned[];
let reading: Redis;
let claims: StreamReader<ClaimEntry>;
let keySpaces = 0;

let url: string;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeEach(async () => {
  keys = new RegistryKeys(`outbound${keySpaces++}`);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 9999,
    shardLimit: 9999,
    retentionMs: 60_000,
  });
  work = new OutboundWork(redis, keys);
  reading = connectRedis(url, { name: 'reading', whenAway: 'wait' }, quiet);
  claims = claimsReader(reading, redis, keys);
  owned = [];
  broker = await PubackBroker.start();
  publisher = new Publisher({ url: broker.url }, `outbound-${keySpaces}`, quiet);
  await eventually('the publisher is connected', () => expect(publisher.connected).toBe(true));
});

afterEach(async () => {
  await Promise.all(owned.map((one) => one.shard.finish(true)));
  await publisher.close();
  await broker.stop();
  await closeRedis(reading);
});

function client(shard: number, i: number): string {
  return clients[shard]?.[i] ?? '';
}

async function accept(shard: number, id: string, count = 1, more: Partial<NewMessage> = {}): Promise<string[]> {
  await redis.zadd(keys.index(shard, 'online', 'host'), 0, id);
  const wanted = Array.from({ length: count }, () => ({
    messageId: messages.mint(id),
    clientId: id,
    directive: 'test:run',
    payloadJson: undefined,
    ttlMs: 600_000,
    whenOffline: 'hold' as const,
    idempotencyKey: undefined,
    requestId: 'r',
    ...more,
  }));
  const { outcomes } = await messages.accept(shard, wanted);
  expect(outcomes.map(({ kind }) => kind)).toEqual(wanted.map(() => 'accepted'));
  return wanted.map(({ messageId }) => messageId);
}

/** Clients of all PUBLISH packets, in the order of their arrival at the broker. */
function published(): string[] {
  return broker.published.map(({ topic }) => topic.slice('out/'.length));
}

function publishedIds(): string[] {
  return broker.published.map(({ payload }) => (JSON.parse(payload) as { message_id: string }).message_id);
}

function dependenciesOf(semaphore: Semaphore, more: Partial<OutboundDependencies> = {}): OutboundDependencies {
  const publishing = new Publishing(publisher, TOPICS, quiet);
  return { work, publishing, semaphore, isConnected: () => publisher.connected, logger: quiet, ...more };
}

/** The commands of a shard, of which some are replaced. */
function withSteps(replaced: Partial<OutboundDependencies['work']>): OutboundDependencies['work'] {
  return {
    step: (...args) => work.step(...args),
    takeOver: (...args) => work.takeOver(...args),
    close: (...args) => work.close(...args),
    release: (...args) => work.release(...args),
    ...replaced,
  };
}

/** A shard that this process owns, with the events that its owner hears of. */
interface Owned {
  shard: OutboundShard;
  grant: Grant;
  isLost: boolean;
  hasFailed: boolean;
  isPassivated: boolean;
}

async function own(index: number, of: OutboundDependencies, epoch = 1): Promise<Owned> {
  const grant: Grant = { kind: 'outbound', index, epoch, fence: `${epoch}:spec` };
  await redis.set(keys.owner(grant), grant.fence);
  const shard = new OutboundShard(of, {
    grant,
    leaseMs: LEASE_MS,
    actUntil: () => performance.now() + LEASE_MS,
    lost: () => (one.isLost = true),
    failed: () => (one.hasFailed = true),
    passivated: () => (one.isPassivated = true),
  });
  const one: Owned = { shard, grant, isLost: false, hasFailed: false, isPassivated: false };
  owned.push(one);
  await shard.start();
  return one;
}

/** Reads the claims of a shard once, as the loop of a dispatcher does. */
async function read({ shard, grant }: Owned): Promise<void> {
  const position = shard.position;
  if (position === undefined) return;
  await claims.read(new Map([[grant.index, position]]), (_, entries) => shard.receive(entries));
}

async function untilEmpty(...ids: (readonly [shard: number, id: string])[]): Promise<void> {
  await eventually('the outboxes are empty', async () => {
    for (const [shard, id] of ids) expect(await redis.exists(keys.outbox(shard, id))).toBe(0);
  });
}

describe('a shard', () => {
  it('serves other connections while the broker does not answer for one', async () => {
    const [slow, quick] = [client(0, 0), client(0, 1)];
    const held = broker.withhold(OUT.topicOf(slow));
    await accept(0, slow);
    await accept(0, quick, 3);
    const one = await own(0, dependenciesOf(new Semaphore(10)));
    await untilEmpty([0, quick]);
    expect(published().toSorted()).toEqual([slow, quick, quick, quick].toSorted());
    await accept(0, client(0, 2));
    await read(one);
    await untilEmpty([0, client(0, 2)]);
    held.open();
    await untilEmpty([0, slow]);
  });

  it('publishes what the accept script has claimed for it, and then what was accepted behind it', async () => {
    const one = await own(0, dependenciesOf(new Semaphore(10)));
    const ids = [...(await accept(0, client(0, 0))), ...(await accept(0, client(0, 0), 2))];
    expect((await messages.read(ids[0] ?? ''))?.status).toBe('in_flight');
    await read(one);
    await untilEmpty([0, client(0, 0)]);
    expect(publishedIds()).toEqual(ids);
    for (const id of ids) {
      expect((await messages.read(id))?.history.map(({ status }) => status)).toEqual(['queued', 'in_flight', 'sent']);
    }
  });

  it('reads no claims before it has taken over those of the former owner, and never one of these', async () => {
    await redis.set(keys.owner({ kind: 'outbound', index: 0 }), '0:former');
    const ids = [...(await accept(0, client(0, 0))), ...(await accept(0, client(0, 1)))];
    const takenOver = gate();
    const slow = withSteps({
      takeOver: async (...args) => {
        const reply = await work.takeOver(...args);
        await takenOver.passed;
        return reply;
      },
    });
    const owning = own(0, dependenciesOf(new Semaphore(10), { work: slow }));
    await eventually('it has begun', () => expect(owned).toHaveLength(1));
    expect(owned[0]?.shard.position).toBeUndefined();
    const claimed: ClaimEntry[] = [];
    await claims.read(new Map([[0, '0-0']]), (_, entries) => {
      claimed.push(...entries);
      return Promise.resolve();
    });
    await owned[0]?.shard.receive(claimed);
    takenOver.open();
    const one = await owning;
    const { position } = one.shard;
    await one.shard.receive(claimed);
    expect([claimed.length, one.shard.position]).toEqual([2, position]);
    await untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(publishedIds().toSorted()).toEqual(ids.toSorted());
  });

  it('finds a claim whose entry in the stream is lost', async () => {
    const one = await own(0, dependenciesOf(new Semaphore(10)));
    const [first] = await accept(0, client(0, 0));
    await redis.del(keys.claims(0));
    // The next step finds more messages in flight than this owner knows.
    await accept(0, client(0, 1), 1, { payloadJson: JSON.stringify('x'.repeat(20_000)) });
    await read(one);
    await untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(publishedIds()).toContain(first);
  });

  it('publishes once what the accept script claims while a step is under way', async () => {
    const one = await own(0, dependenciesOf(new Semaphore(50)));
    const ids: string[] = [];
    for (let i = 0; i < 30; i++) {
      const [id = ''] = await accept(0, client(0, i));
      ids.push(id);
      await read(one);
    }
    await untilEmpty(...ids.map((_, i) => [0, client(0, i)] as const));
    expect(publishedIds().toSorted()).toEqual(ids.toSorted());
  });

  it('gives its permits to others while its Redis does not answer', async () => {
    const answers = gate();
    const silent = withSteps({
      step: async (...args: Parameters<OutboundWork['step']>) => {
        await answers.passed;
        return work.step(...args);
      },
    });
    await accept(0, client(0, 0));
    await accept(1, client(1, 0));
    const semaphore = new Semaphore(1);
    await own(0, dependenciesOf(semaphore, { work: silent }));
    await own(1, dependenciesOf(semaphore));
    await untilEmpty([1, client(1, 0)]);
    expect(published()).toEqual([client(1, 0)]);
    answers.open();
    await untilEmpty([0, client(0, 0)]);
  });

  it('never publishes for more connections than there are permits, and serves every connection', async () => {
    const all = clients.flatMap((ids, shard) => ids.slice(0, 20).map((id) => [shard, id] as const));
    for (const [shard, id] of all) await accept(shard, id, 3);
    broker.latencyMs = 5;
    const of = dependenciesOf(new Semaphore(3));
    await Promise.all(clients.map((_, shard) => own(shard, of)));
    await untilEmpty(...all);
    expect(published().toSorted()).toEqual(all.flatMap(([, id]) => [id, id, id]).toSorted());
    expect(broker.maxInFlight).toBe(3);
    await eventually('all permits are free', () => expect(of.semaphore.available).toBe(3));
  });

  it('never publishes more of what was claimed for it than there are permits', async () => {
    const of = dependenciesOf(new Semaphore(3));
    const one = await own(0, of);
    const some = Array.from({ length: 20 }, (_, i) => client(0, i));
    broker.latencyMs = 5;
    for (const id of some) await accept(0, id);
    while (published().length < some.length) await read(one);
    expect(broker.maxInFlight).toBe(3);
  });

  it('publishes for others while results wait for a step, which completes several', async () => {
    const completed: number[] = [];
    const counted = withSteps({
      step: (grant, state) => {
        completed.push(state.results.length);
        return work.step(grant, state);
      },
    });
    const one = await own(0, dependenciesOf(new Semaphore(1), { work: counted }));
    const some = Array.from({ length: 20 }, (_, i) => client(0, i));
    for (const id of some) await accept(0, id);
    while (published().length < some.length) await read(one);
    await untilEmpty(...some.map((id) => [0, id] as const));
    expect(Math.max(...completed)).toBeGreaterThan(1);
    expect(broker.maxInFlight).toBe(1);
  });

  it('waits for a permit with the next message of a connection that had none any more', async () => {
    const followed = gate();
    const later = withSteps({
      step: async (grant, state) => {
        if (state.results.length > 0) await followed.passed;
        return work.step(grant, state);
      },
    });
    const of = dependenciesOf(new Semaphore(1), { work: later });
    const held = broker.withhold(OUT.topicOf(client(0, 1)));
    const one = await own(0, of);
    await accept(0, client(0, 0));
    await read(one);
    await eventually('the first message is published', () => expect(published()).toHaveLength(1));
    await eventually('its permit is free', () => expect(of.semaphore.available).toBe(1));
    const [next = ''] = await accept(0, client(0, 0));
    await accept(0, client(0, 1));
    await read(one);
    followed.open();
    await eventually('the next message is claimed', async () =>
      expect(['in_flight', 'sent']).toContain((await messages.read(next))?.status),
    );
    held.open();
    await untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(broker.maxInFlight).toBe(1);
  });

  it('does nothing while it waits for a permit, however long that takes', async () => {
    const of = dependenciesOf(new Semaphore(1));
    let looks = 0;
    const isConnected = (): boolean => {
      looks++;
      return publisher.connected;
    };
    of.semaphore.acquire(1);
    await accept(0, client(0, 0));
    const one = await own(0, { ...of, isConnected });
    const now = performance.now.bind(performance);
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + 2 * IDLE_MS);
    await redis.xadd(keys.claims(0), '*', 'bell', '');
    await read(one);
    // Each of these replies takes a turn of the event loop.
    for (let i = 0; i < 1000; i++) await redis.ping();
    expect(looks).toBeLessThan(20);
    clock.mockRestore();
    of.semaphore.release(1);
    await untilEmpty([0, client(0, 0)]);
  });

  it('gives back what waits for a permit if the client has gone offline, also behind a message that the client has failed', async () => {
    const of = dependenciesOf(new Semaphore(1));
    const held = broker.withhold(OUT.topicOf(client(0, 0)));
    const one = await own(0, of);
    const [failed = ''] = await accept(0, client(0, 0));
    await read(one);
    await eventually('the first message is published', () => expect(published()).toHaveLength(1));
    await new Outboxes(redis, keys, SHARDS).failByClient(client(0, 0), failed, 'bad');
    const other = of.semaphore.acquireOne(new AbortController().signal);
    const [next = ''] = await accept(0, client(0, 0));
    const receiving = read(one);
    await eventually('the claim is read', async () =>
      expect(one.shard.position).toBe((await redis.xrevrange(keys.claims(0), '+', '-', 'COUNT', 1))[0]?.[0]),
    );
    await redis.zrem(keys.index(0, 'online', 'host'), client(0, 0));
    held.open();
    await other;
    await eventually('it is held again', async () => expect((await messages.read(next))?.status).toBe('held'));
    of.semaphore.release(1);
    await receiving;
    expect(published()).toHaveLength(1);
  });

  it('leaves its connections after its turn if other shards wait for permits', async () => {
    broker.latencyMs = 300;
    for (let i = 0; i < 2; i++) await accept(0, client(0, i), 100);
    await accept(1, client(1, 0));
    const of = dependenciesOf(new Semaphore(2));
    await own(0, of);
    await eventually('two messages are published', () => expect(published()).toHaveLength(2));
    await own(1, of);
    await untilEmpty([1, client(1, 0)]);
    expect(await redis.llen(keys.outbox(0, client(0, 0)))).toBeGreaterThan(0);
  });

  it('gives the lease back when it is asked to, after the PUBACK, and others continue', async () => {
    const of = dependenciesOf(new Semaphore(5));
    const held = broker.withhold(OUT.topicOf(client(0, 0)));
    const [first, second] = await accept(0, client(0, 0), 2);
    const one = await own(0, of);
    await eventually('the first message is published', () => expect(published()).toHaveLength(1));
    const finished = one.shard.finish(false);
    await eventually('nothing is claimed for it any more', async () =>
      expect(await redis.exists(keys.outboundClosing(0))).toBe(1),
    );
    // Also if it takes as long as it may.
    expect(await redis.pttl(keys.outboundClosing(0))).toBeGreaterThan(LEASE_MS);
    held.open();
    expect(await finished).toBe('due');
    expect(of.semaphore.available).toBe(5);
    expect(await redis.exists(keys.owner(one.grant), keys.claimed(0), keys.outboundClosing(0))).toBe(0);
    expect((await messages.read(first ?? ''))?.status).toBe('sent');
    await own(0, of, 2);
    await untilEmpty([0, client(0, 0)]);
    expect(publishedIds()).toEqual([first, second]);
  });

  it('that is lost publishes nothing more, and the next owner publishes its messages again', async () => {
    const of = dependenciesOf(new Semaphore(5));
    const held = broker.withhold(OUT.topicOf(client(0, 0)));
    const [first] = await accept(0, client(0, 0), 2);
    const one = await own(0, of);
    await eventually('the first message is published', () => expect(published()).toHaveLength(1));
    const next = await own(0, dependenciesOf(new Semaphore(5)), 2);
    await eventually('it is published again', () => expect(published()).toHaveLength(2));
    held.open();
    await untilEmpty([0, client(0, 0)]);
    await eventually('the former owner learns of it', () => expect(one.isLost).toBe(true));
    expect([of.semaphore.available, next.isLost]).toEqual([5, false]);
    expect(publishedIds().slice(0, 2)).toEqual([first, first]);
    expect(published()).toHaveLength(3);
  });

  it('is given back when it has been idle for a while', async () => {
    await accept(0, client(0, 0));
    const one = await own(0, dependenciesOf(new Semaphore(5)));
    await eventually('it is passivated', () => expect(one.isPassivated).toBe(true));
    expect(await redis.exists(keys.owner(one.grant), keys.outbox(0, client(0, 0)))).toBe(0);
  });
});

describe('a shard that Redis refuses', () => {
  function failing(error: Error): OutboundDependencies['work'] {
    let failures = 0;
    return withSteps({ step: (...args) => (failures++ === 0 ? Promise.reject(error) : work.step(...args)) });
  }

  it.each([RedisUnavailableError, RedisBusyError, RedisFullError])('tries again after %p', async (type) => {
    await accept(0, client(0, 0));
    await own(0, dependenciesOf(new Semaphore(5), { work: failing(new type(new Error('away'))) }));
    await untilEmpty([0, client(0, 0)]);
    expect(published()).toEqual([client(0, 0)]);
  });

  it('ends with an error of a script, which would only occur again, and gives its permits back', async () => {
    const of = dependenciesOf(new Semaphore(5), { work: failing(new RedisScriptError(new Error('wrong'))) });
    await accept(0, client(0, 0));
    const one = await own(0, of);
    await eventually('it has ended', () => expect(one.hasFailed).toBe(true));
    expect([of.semaphore.available, one.isLost]).toEqual([5, false]);
  });
});

describe('the outcome of a publish', () => {
  const message = { clientId: 'a', messageId: 'm', attempt: 3 } as ClaimedMessage;
  const claim = { clientId: 'a', messageId: 'm', attempt: 3 };

  it.each([
    [{ kind: 'acknowledged' }, { ...claim, outcome: 'sent' }],
    [{ kind: 'no-subscribers' }, { ...claim, outcome: 'no-subscribers' }],
    [
      { kind: 'refused', permanent: true, details: 'x' },
      { ...claim, outcome: 'failed', details: 'x' },
    ],
    [
      { kind: 'refused', permanent: false, details: 'x' },
      { ...claim, outcome: 'retry', details: 'x' },
    ],
    [
      { kind: 'unknown', details: 'x' },
      { ...claim, outcome: 'retry', details: 'x' },
    ],
    [{ kind: 'late' }, { clientId: 'a', messageId: 'm', outcome: 'unwritten' }],
  ] as const)('%j becomes the result %j', (outcome, result) => {
    expect(resultOf(message, outcome)).toEqual(result);
  });

  it('names the topic and the id of the answer', async () => {
    const id = client(0, 0);
    const [messageId = ''] = await accept(0, id);
    await own(0, dependenciesOf(new Semaphore(5)));
    await untilEmpty([0, id]);
    expect(broker.published.map(({ properties }) => properties)).toMatchObject([
      { responseTopic: `in/${id}`, correlationData: Buffer.from(messageId) },
    ]);
  });

  it('fails a message that cannot be encoded', async () => {
    await accept(0, client(0, 0));
    const outTopic = new Proxy(OUT, {
      get: () => () => {
        throw new Error('no such topic');
      },
    });
    await own(
      0,
      dependenciesOf(new Semaphore(5), { publishing: new Publishing(publisher, { ...TOPICS, out: outTopic }, quiet) }),
    );
    await untilEmpty([0, client(0, 0)]);
    const page = await messages.list(client(0, 0), 10);
    expect(page.messages.map(({ status }) => status)).toEqual(['failed']);
    expect(published()).toEqual([]);
  });

  it.each([
    ['its time to live has ended', { expiresAt: () => performance.now() - 1, writeBy: () => Infinity }],
    ['the lease may have ended', { expiresAt: () => Infinity, writeBy: () => performance.now() - 1 }],
  ])('writes nothing if %s', async (_, limits) => {
    const times = { ...limits, redisNow: () => 0 };
    const publishing = new Publishing(publisher, TOPICS, quiet);
    const message = { clientId: 'a', messageId: 'm', directive: 'd', attempt: 1 } as ClaimedMessage;
    const result = await publishing.publish(message, 0, times, new AbortController().signal);
    expect(result).toEqual({ clientId: 'a', messageId: 'm', outcome: 'unwritten' });
    expect(published()).toEqual([]);
  });
});
