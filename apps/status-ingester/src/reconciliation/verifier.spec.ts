/** The verifier at a real broker. What its results change in the registry is tested in `shard/verification.spec.ts`. */
import { RetainedReader } from '@app/broker';
import { connectRedis, type Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { decodeMailboxEntry, type Connection, type RetainedReading } from '@app/registry';
import type { Grant } from '@app/sharding';
import { connectAsync, type MqttClient } from 'mqtt';
import { hostConnection } from '../../../../test/support/connections.js';
import { eventually, quiet, startMosquitto, startRedis, type Server } from '../../../../test/support/servers.js';
import { Verifier } from './verifier.js';

/** Mosquitto ends a connection that subscribes to this topic: it has a noncharacter of Unicode. */
const POISON = 'bad-\uffff';
const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1' };

let broker: Server;
let store: Server;
let redis: Redis;
let device: MqttClient;
let reader: RetainedReader;
let verifier: Verifier;
let results: Map<string, RetainedReading>;
let registry: Map<string, Connection>;

beforeAll(async () => {
  [broker, store] = await Promise.all([startMosquitto(), startRedis()]);
  redis = connectRedis(store.url, { name: 'spec', whenAway: 'wait' }, quiet);
  device = await connectAsync(broker.url);
});
afterAll(async () => {
  redis.disconnect();
  await device.endAsync(true);
  await Promise.all([broker.stop(), store.stop()]);
});

beforeEach(() => {
  results = new Map();
  registry = new Map();
  reader = new RetainedReader({ url: broker.url }, `verifier-${Math.random()}`, 'spec/sentinel', quiet, 2000);
  const apply = (items: readonly string[]): number => {
    for (const text of items) {
      const entry = decodeMailboxEntry({ id: '1-1', text });
      if (entry.kind === 'verified') results.set(entry.clientId, entry);
    }
    return items.length;
  };
  verifier = new Verifier({
    reader,
    barrier: { pass: () => Promise.resolve() },
    mailboxes: { lastId: () => Promise.resolve('0-0'), sendAll: (_shard, items) => Promise.resolve(apply(items)) },
    directory: { map: (_shard, ids, take) => Promise.resolve(ids.map((id, i) => take(registry.get(id), i))) },
    redis,
    statusTopics: [new TopicTemplate('in/{clientId}')],
    maxInboundBytes: 1024,
    rate: 100_000,
    logger: quiet,
  });
});
afterEach(async () => {
  await Promise.all([verifier.stop(), reader.close()]);
});

function requestVerification(...clientIds: string[]): void {
  verifier.request(
    GRANT,
    clientIds.map((clientId) => ({ clientId, reason: 'request' as const })),
  );
}

async function untilRead(...clientIds: string[]): Promise<void> {
  await eventually(`${clientIds.length} clients are read`, () => {
    expect([...results.keys()].toSorted()).toEqual(clientIds.toSorted());
  });
}

async function untilGivenUp(): Promise<void> {
  await eventually('the verification of the unreadable client is given up', () => {
    expect([...verifier.pendingOf(GRANT).keys()]).not.toContain(POISON);
  });
}

it('the verifier reads the retained message of a client, or that there is none', async () => {
  await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
  requestVerification('a', 'b');
  await untilRead('a', 'b');
  expect(results.get('a')?.retained).toEqual([{ topic: 'in/{clientId}', body: 'A' }]);
  expect(results.get('b')?.retained).toEqual([]);
});

it('the verifier keeps the last 16 callers that wait for one client', () => {
  const pending = verifier.pendingOf(GRANT);
  for (let i = 0; i < 1000; i++) {
    verifier.request(GRANT, [{ clientId: 'a', reason: 'request', reply: { channel: 'gateway', id: `${i}` } }]);
  }
  const ids = pending.get('a')?.replies.map(({ id }) => id);
  expect(ids).toEqual(Array.from({ length: 16 }, (_, i) => `${984 + i}`));
});

it('the verifier verifies at most a hundred clients of a shard at a time that have no to-do', async () => {
  const unknown = Array.from({ length: 300 }, (_, i) => `u${i}`);
  const requestAll = (): void => {
    verifier.request(
      GRANT,
      unknown.map((clientId) => ({ clientId, reason: 'request' as const, isVolatile: true })),
    );
  };
  requestAll();
  expect(verifier.pendingOf(GRANT).size).toBe(100);
  requestVerification('known');
  expect(verifier.pendingOf(GRANT).has('known')).toBe(true);
  await eventually('101 clients are read', () => expect(results.size).toBe(101));
  const completed = Array.from(results.values(), ({ clientId, attempt }) => ({
    clientId,
    attempt,
    outcome: 'agreed' as const,
  }));
  await verifier.complete(GRANT, completed);
  requestAll();
  expect(verifier.pendingOf(GRANT).size).toBe(100);
});

it('the verifier reads the other clients if the broker ends the connection for one, and skips that one', async () => {
  const others = Array.from({ length: 20 }, (_, i) => `host-${i}`);
  requestVerification(...others.slice(0, 7), POISON, ...others.slice(7));
  await untilRead(...others);
  await untilGivenUp();
});

it('the verifier reads a client that could not be read before on its own', async () => {
  requestVerification(POISON);
  await eventually('no verification is pending', () => expect(verifier.pendingOf(GRANT).size).toBe(0));
  const read = jest.spyOn(reader, 'read');
  requestVerification(POISON, 'a', 'b');
  await eventually('two clients are read', () => expect(results.size).toBe(2));
  await untilGivenUp();
  expect(read.mock.calls.map(([topics]) => topics.length).toSorted()).toEqual([1, 2]);
});

it('the verifier serves the shards in turn, however many requests one of them has', async () => {
  const crowd = Array.from({ length: 900 }, (_, i) => `crowd-${i}`);
  requestVerification(...crowd);
  verifier.request({ ...GRANT, index: 1 }, [{ clientId: 'alone', reason: 'request' }]);
  await eventually('901 clients are read', () => expect(results.size).toBe(901));
  // The second batch begins with the next shard.
  expect([...results.keys()].indexOf('alone')).toBe(200);
});

describe('a client that is online and has nothing retained', () => {
  it('a client without a retained message is read twice before it goes offline, and others of its batch once', async () => {
    registry.set('gone', hostConnection('gone'));
    await device.publishAsync('in/there', 'T', { qos: 1, retain: true });
    registry.set('there', hostConnection('there'));
    const read = jest.spyOn(reader, 'read');
    requestVerification('gone', 'there', 'stranger');
    await eventually('nothing is read for the client', () => expect(results.get('gone')?.retained).toEqual([]));
    expect(read.mock.calls.map(([topics]) => topics)).toEqual([['in/gone', 'in/there', 'in/stranger'], ['in/gone']]);
  });

  it('a client stays online if the broker was only late to retain its handshake', async () => {
    registry.set('late', hostConnection('late'));
    const read = jest.spyOn(reader, 'read').mockResolvedValueOnce(new Map());
    await device.publishAsync('in/late', 'L', { qos: 1, retain: true });
    requestVerification('late');
    await eventually('the retained message is read', () => {
      expect(results.get('late')?.retained).toEqual([{ topic: 'in/{clientId}', body: 'L' }]);
    });
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('a client is read twice again if it shook hands in between', async () => {
    registry.set('fresh', hostConnection('fresh'));
    const read = jest.spyOn(reader, 'read').mockImplementation(() => {
      if (read.mock.calls.length === 2) registry.set('fresh', hostConnection('fresh', { last_live_handshake_at: 7 }));
      return Promise.resolve(new Map());
    });
    requestVerification('fresh');
    await eventually('the client is read', () => expect(results.has('fresh')).toBe(true));
    expect(read).toHaveBeenCalledTimes(3);
  });
});
