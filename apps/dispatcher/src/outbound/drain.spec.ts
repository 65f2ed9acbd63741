import { connectAsync } from 'mqtt';
import { Publisher } from '@app/broker';
import {
  Draining,
  RedisBusyError,
  RedisConnections,
  RedisFullError,
  RedisScriptError,
  RedisUnavailableError,
  connectRedis,
  type Redis,
} from '@app/platform';
import { TopicTemplate, shardOf } from '@app/protocol';
import { Messages, Outboxes, RegistryKeys, WakeUps, type ClaimedMessage } from '@app/registry';
import { openGate } from '../../../../test/support/open-gate.js';
import { PubackBroker } from '../../../../test/support/puback-broker.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, gate, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { SlowLink } from '../../../../test/support/slow-link.js';
import { DispatcherLifecycle } from '../dispatcher.lifecycle.js';
import { Dispatcher } from './dispatcher.js';
import { DrainRun, settle, type DrainParts } from './drain.js';
import { Semaphore } from './semaphore.js';

const SHARDS = 4;
const OUT = new TopicTemplate('out/{clientId}');
/** Clients of each shard. */
const clients = Array.from({ length: SHARDS }, (_, shard) =>
  Array.from({ length: 400 }, (__, i) => `client-${i}`).filter((id) => shardOf(id, SHARDS) === shard),
);

let server: Server;
let redis: Redis;
let keys: RegistryKeys;
let messages: Messages;
let outboxes: Outboxes;
let stopping: AbortController;
let broker: PubackBroker;
let publisher: Publisher;
let keySpaces = 0;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(async () => {
  keys = new RegistryKeys(`runs${keySpaces++}`);
  messages = new Messages(redis, keys, {
    shardCount: SHARDS,
    outboxLimit: 9999,
    shardLimit: 9999,
    retentionMs: 60_000,
  });
  outboxes = new Outboxes(redis, keys, SHARDS);
  stopping = new AbortController();
  broker = await PubackBroker.start();
  publisher = new Publisher({ url: broker.url }, `runs-${keySpaces}`, quiet);
});

afterEach(async () => {
  stopping.abort();
  await publisher.close();
  await broker.stop();
});

async function accept(shard: number, id: string, count = 1): Promise<void> {
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
  }));
  await messages.accept(shard, wanted);
}

function client(shard: number, i: number): string {
  return clients[shard]?.[i] ?? '';
}

/** Clients of all PUBLISH packets, in the order of their arrival at the broker. */
function published(): string[] {
  return broker.published.map(({ topic }) => topic.slice('out/'.length));
}

function parts(semaphore: Semaphore, more: Partial<DrainParts> = {}): DrainParts {
  return { outboxes, publisher, outTopic: OUT, semaphore, logger: quiet, ...more };
}

function run(shard: number, of: DrainParts): ReturnType<DrainRun['drain']> {
  return new DrainRun(of, shard, stopping.signal).drain();
}

/** Runs again, as the worker does, until nothing is left to do. */
async function untilIdle(shard: number, of: DrainParts): Promise<void> {
  while ((await run(shard, of)) !== 'idle');
}

describe('DrainRun', () => {
  it('serves other connections of its shard while the broker does not answer for one', async () => {
    const [slow, quick, later] = [client(0, 0), client(0, 1), client(0, 2)];
    const held = broker.withhold(OUT.topicOf(slow));
    await accept(0, slow);
    const running = run(0, parts(new Semaphore(10)));
    await eventually('the message of the slow client is published', () => expect(published()).toEqual([slow]));
    await accept(0, quick);
    await eventually('the message of the second client is published', () => expect(published()).toEqual([slow, quick]));
    await accept(0, later);
    await eventually('the message of the third client is published', () =>
      expect(published()).toEqual([slow, quick, later]),
    );
    held.open();
    expect(await running).toBe('idle');
  });

  it('gives its permits to others while its Redis does not answer', async () => {
    const never = gate();
    const silent = new Proxy(outboxes, {
      get: (target, property) =>
        property === 'step' ? () => never.passed : (Reflect.get(target, property) as unknown),
    });
    await accept(0, client(0, 0));
    await accept(1, client(1, 0));
    const semaphore = new Semaphore(1);
    void run(0, parts(semaphore, { outboxes: silent }));
    expect(await run(1, parts(semaphore))).toBe('idle');
    expect(published()).toEqual([client(1, 0)]);
  });

  it('never publishes for more connections than there are permits, and serves every connection', async () => {
    const all = clients.flatMap((ids, shard) => ids.slice(0, 20).map((id) => [shard, id] as const));
    for (const [shard, id] of all) await accept(shard, id, 3);
    broker.latencyMs = 5;
    const of = parts(new Semaphore(3));
    await Promise.all(clients.map((_, shard) => untilIdle(shard, of)));
    expect(published().toSorted()).toEqual(all.flatMap(([, id]) => [id, id, id]).toSorted());
    expect(broker.maxInFlight).toBe(3);
    expect(of.semaphore.available).toBe(3);
  });

  it('ends after its time even if the broker is slow, so that others get the permits', async () => {
    broker.latencyMs = 300;
    for (let i = 0; i < 2; i++) await accept(0, client(0, i), 20);
    await accept(1, client(1, 0));
    const of = parts(new Semaphore(2));
    const running = run(0, of);
    await eventually('two messages are published', () => expect(published()).toHaveLength(2));
    const waiting = run(1, of);
    expect(await running).toBe('interrupted');
    expect(await waiting).toBe('idle');
    expect(await redis.llen(keys.outbox(0, client(0, 0)))).toBeGreaterThan(0);
  });

  it('serves other connections while one publish does not end and all permits are in demand', async () => {
    const of = parts(new Semaphore(2));
    const held = broker.withhold(OUT.topicOf(client(0, 0)));
    await accept(0, client(0, 0));
    const stuck = untilIdle(0, of);
    await eventually('the message whose PUBACK is withheld is published', () => expect(published()).toHaveLength(1));
    const done = new AbortController();
    const busy = [1, 2, 3].map(async (shard) => {
      while (!done.signal.aborted) {
        await accept(shard, client(shard, 0), 200);
        while ((await run(shard, of)) !== 'idle');
      }
    });
    await accept(0, client(0, 1), 3);
    await eventually('all three messages of the other client are published', () =>
      expect(published().filter((id) => id === client(0, 1))).toHaveLength(3),
    );
    done.abort();
    held.open();
    await Promise.all([stuck, ...busy]);
  });

  it('leaves an interrupted publish to the next run, and gives its permits back', async () => {
    const of = parts(new Semaphore(5));
    const held = broker.withhold(OUT.topicOf(client(0, 0)));
    await accept(0, client(0, 0), 2);
    const running = run(0, of);
    await eventually('the first message is published', () => expect(published()).toHaveLength(1));
    stopping.abort();
    held.open();
    expect(await running).toBe('interrupted');
    expect(of.semaphore.available).toBe(5);
    stopping = new AbortController();
    await untilIdle(0, of);
    const ids = broker.published.map(({ payload }) => (JSON.parse(payload) as { message_id: string }).message_id);
    expect(new Set(ids).size).toBe(2);
    // The interrupted message is published again, before the other one.
    expect(ids).toEqual([ids[0], ids[0], ids[2]]);
  });
});

describe('DrainRun that Redis refuses', () => {
  function failing(error: Error): Outboxes {
    let failures = 0;
    return new Proxy(outboxes, {
      get: (target, property) => {
        if (property === 'step' && failures++ === 0) return () => Promise.reject(error);
        const value: unknown = Reflect.get(target, property);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  it.each([RedisUnavailableError, RedisBusyError, RedisFullError])('tries again after %p', async (type) => {
    await accept(0, client(0, 0));
    const of = parts(new Semaphore(5), { outboxes: failing(new type(new Error('away'))) });
    expect(await run(0, of)).toBe('idle');
    expect(published()).toEqual([client(0, 0)]);
  });

  it('fails with an error of a script, which would only occur again, and gives its permits back', async () => {
    const of = parts(new Semaphore(5), { outboxes: failing(new RedisScriptError(new Error('wrong'))) });
    await accept(0, client(0, 0));
    await expect(run(0, of)).rejects.toThrow('wrong');
    expect(of.semaphore.available).toBe(5);
  });
});

describe('settle: the outcome of a publish', () => {
  const message = { clientId: 'a', messageId: 'm', attempt: 3 } as ClaimedMessage;

  it.each([
    [{ kind: 'acknowledged' }, 'sent'],
    [{ kind: 'no-subscribers' }, 'no-subscribers'],
    [{ kind: 'refused', permanent: true, details: 'x' }, 'failed'],
    [{ kind: 'refused', permanent: false, details: 'x' }, 'retry'],
    [{ kind: 'unknown', details: 'x' }, 'retry'],
  ] as const)('settles %j as %s', (outcome, settled) => {
    expect(settle(message, outcome, true)).toMatchObject({ ...message, outcome: settled });
  });

  it('claims a late message again, and puts it back while there is no connection to the broker', () => {
    expect(settle(message, { kind: 'late' }, true)).toEqual({ clientId: 'a', outcome: 'late' });
    expect(settle(message, { kind: 'late' }, false)).toMatchObject({ ...message, outcome: 'retry' });
  });

  it('fails a message that cannot be encoded', async () => {
    await accept(0, client(0, 0));
    const outTopic = new Proxy(OUT, {
      get: () => () => {
        throw new Error('no such topic');
      },
    });
    const of = parts(new Semaphore(5), { outTopic });
    expect(await run(0, of)).toBe('idle');
    const page = await messages.list(client(0, 0), 10);
    expect(page.messages.map(({ status }) => status)).toEqual(['failed']);
    expect(published()).toEqual([]);
  });
});

it('a second dispatcher gets its share of shards that are always busy, and every message is sent', async () => {
  const broker = await startMosquitto();
  const devices = await connectAsync(broker.url);
  await devices.subscribeAsync('out/#');
  const stops: (() => Promise<unknown>)[] = [];
  const dispatcher = async (url: string): Promise<{ count: number }> => {
    const own = connectRedis(server.url, { name: 'dispatcher', whenAway: 'wait' }, quiet);
    const workerRedis = connectRedis(server.url, { name: 'worker', whenAway: 'wait' }, quiet);
    const published = { count: 0 };
    const publisher = new Publisher({ url }, `runs-${stops.length}`, quiet);
    const counting = new Proxy(publisher, {
      get: (target, property) => {
        if (property === 'publish') published.count++;
        const value: unknown = Reflect.get(target, property);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const draining = parts(new Semaphore(2), { publisher: counting });
    const wakeUps = new WakeUps(own, keys);
    const lifecycle = new DispatcherLifecycle(
      new RedisConnections([own, workerRedis]),
      own,
      keys,
      wakeUps,
      publisher,
      openGate,
      new Dispatcher(workerRedis, keys, draining, wakeUps, SHARDS, quiet),
      { SHARD_COUNT: SHARDS },
      new Draining(),
      quiet,
    );
    await lifecycle.start();
    stops.push(async () => {
      await lifecycle.onModuleDestroy();
      await lifecycle.onApplicationShutdown();
    });
    return published;
  };
  // A run lasts a second. However fast the machine is, the first dispatcher does not send everything in its first runs.
  const link = await SlowLink.before(Number(new URL(broker.url).port));
  for (const [shard, ids] of clients.entries()) await accept(shard, ids[0] ?? '', 500);
  const wakeUps = new WakeUps(redis, keys);
  const first = await dispatcher(link.url);
  await wakeUps.wake(clients.map((_, shard) => shard));
  await eventually('the first dispatcher has published more than 50 messages', () => {
    link.passOne();
    expect(first.count).toBeGreaterThan(50);
  });
  const second = await dispatcher(broker.url);
  await eventually('the second dispatcher has published more than 50 messages', () => {
    link.passOne();
    expect(second.count).toBeGreaterThan(50);
  });
  link.passAll();
  const countLeft = async (): Promise<number> => {
    const counts = await Promise.all(clients.map((ids, shard) => redis.llen(keys.outbox(shard, ids[0] ?? ''))));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  let left = await countLeft();
  expect(left).toBeGreaterThan(0);
  // A failover of Redis may lose its last second: then no run has superseded another one.
  await redis.del(...clients.map((_, shard) => keys.drainRun(shard)));
  // However slow the machine is, the next message is sent soon.
  while (left > 0) {
    left = await eventually('fewer messages are left', async () => {
      const now = await countLeft();
      expect(now).toBeLessThan(left);
      return now;
    });
  }
  for (const stop of stops) await stop();
  await wakeUps.close();
  await devices.endAsync();
  await link.stop();
  await broker.stop();
}, 120_000);
