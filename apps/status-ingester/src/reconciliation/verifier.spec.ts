/** The verifier at a real broker. What its results change in the registry is tested in `shard/verification.spec.ts`. */
import { BrokerFacts, RetainedReader } from '@app/broker';
import { connectRedis, type Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { decodeMailboxEntry, type RetainedReading } from '@app/registry';
import type { Grant } from '@app/sharding';
import { connectAsync, type MqttClient } from 'mqtt';
import { eventually, gate, quiet, startMosquitto, startRedis, type Server } from '../../../../test/support/servers.js';
import type { VerificationResult } from '../shard/ports.js';
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
/** What the check of the broker has found. */
let facts: BrokerFacts;
const idBefore = jest.fn<Promise<string>, [shard: number, ageMs: number]>();

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
  idBefore.mockResolvedValue('0-0');
  facts = new BrokerFacts();
  reader = new RetainedReader({ url: broker.url }, `verifier-${Math.random()}`, 'spec/sentinel', quiet, {
    readMs: 2000,
  });
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
    facts,
    mailboxes: { idBefore, sendAll: (_shard, items) => Promise.resolve(apply(items)) },
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

it('the verifier reads on when a shard is given away in the middle of a read that fails', async () => {
  const begun = gate();
  const failing = gate();
  jest.spyOn(reader, 'read').mockImplementationOnce(async () => {
    begun.open();
    await failing.passed;
    throw new Error('refused');
  });
  requestVerification('a');
  await begun.passed;
  verifier.forget(GRANT);
  verifier.request({ ...GRANT, epoch: 2 }, [{ clientId: 'b', reason: 'request' }]);
  failing.open();
  await untilRead('b');
});

it('the verifier keeps the requests of a new grant of a shard when a result of the former one is committed late', async () => {
  const grant = { ...GRANT, epoch: 2 };
  verifier.request(grant, [{ clientId: 'b', reason: 'request' }]);
  await verifier.complete(GRANT, [{ clientId: 'b', attempt: '1.1', outcome: 'agreed' }]);
  expect([...verifier.pendingOf(grant).keys()]).toEqual(['b']);
  await untilRead('b');
});

it('the verifier serves the shards in turn, however many requests one of them has', async () => {
  const crowd = Array.from({ length: 900 }, (_, i) => `crowd-${i}`);
  requestVerification(...crowd);
  verifier.request({ ...GRANT, index: 1 }, [{ clientId: 'alone', reason: 'request' }]);
  await eventually('901 clients are read', () => expect(results.size).toBe(901));
  // The second batch begins with the next shard.
  expect([...results.keys()].indexOf('alone')).toBe(200);
});

describe('a reading that contradicts an online client', () => {
  /** Positions of the mailbox, before each read. */
  let positions: string[];

  beforeEach(() => {
    positions = ['1-0', '2-0', '3-0', '4-0'];
    idBefore.mockImplementation(() => Promise.resolve(positions.shift() ?? '9-0'));
  });

  /** Waits for the next reading of the client. */
  async function nextReading(clientId: string): Promise<RetainedReading> {
    const reading = await eventually('the client is read', () => {
      const found = results.get(clientId);
      if (found === undefined) throw new Error('no reading yet');
      return found;
    });
    results.delete(clientId);
    return reading;
  }

  async function complete(reading: RetainedReading, outcome: VerificationResult['outcome']): Promise<void> {
    await verifier.complete(GRANT, [{ clientId: reading.clientId, attempt: reading.attempt, outcome }]);
  }

  it('is confirmed by a second read, for which live messages since before the first one count', async () => {
    const read = jest.spyOn(reader, 'read');
    requestVerification('gone', 'there');
    const first = await nextReading('gone');
    expect(verifier.pendingOf(GRANT).get('gone')).toMatchObject({ noted: '1-0', isConfirmed: false });
    await complete(await nextReading('there'), 'agreed');
    await complete(first, 'unconfirmed');
    const second = await nextReading('gone');
    expect(second.retained).toEqual(first.retained);
    expect(verifier.pendingOf(GRANT).get('gone')).toMatchObject({ noted: '1-0', isConfirmed: true });
    await complete(second, 'corrected');
    expect(verifier.pendingOf(GRANT).size).toBe(0);
    expect(read.mock.calls.map(([topics]) => topics)).toEqual([['in/gone', 'in/there'], ['in/gone']]);
    expect(idBefore).toHaveBeenCalledWith(0, 500);
  });

  it('is not confirmed if the broker was only late to retain the newer message', async () => {
    jest.spyOn(reader, 'read').mockResolvedValueOnce(new Map([['in/late', Buffer.from('old')]]));
    await device.publishAsync('in/late', 'new', { qos: 1, retain: true });
    requestVerification('late');
    const first = await nextReading('late');
    expect(first.retained).toEqual([{ topic: 'in/{clientId}', body: 'old' }]);
    await complete(first, 'unconfirmed');
    const second = await nextReading('late');
    expect(second.retained).toEqual([{ topic: 'in/{clientId}', body: 'new' }]);
    expect(verifier.pendingOf(GRANT).get('late')).toMatchObject({ noted: '2-0', isConfirmed: false });
  });

  it('is read twice again if a live message came in between', async () => {
    requestVerification('fresh');
    await complete(await nextReading('fresh'), 'unconfirmed');
    await complete(await nextReading('fresh'), 'superseded-by-live');
    const third = await nextReading('fresh');
    expect(verifier.pendingOf(GRANT).get('fresh')).toMatchObject({ noted: '3-0', isConfirmed: false });
    await complete(third, 'unconfirmed');
    await nextReading('fresh');
    expect(verifier.pendingOf(GRANT).get('fresh')).toMatchObject({ noted: '3-0', isConfirmed: true });
  });
});

describe('a request', () => {
  it('of a caller has the client read again if it is just being read', async () => {
    requestVerification('a');
    await untilRead('a');
    const [before] = results.values();
    verifier.request(GRANT, [{ clientId: 'a', reason: 'request', reply: { channel: 'gateway', id: '1' } }]);
    expect(verifier.pendingOf(GRANT).get('a')?.attempt).toBeUndefined();
    await eventually('the client is read again', () => expect(results.get('a')?.attempt).not.toBe(before?.attempt));
  });

  it.each(['lanes', 'redelivery', 'dropped', 'status-topic', 'online'] as const)(
    'for the reason %s has the client read later than one of a caller that comes with it: the broker may retain late',
    (reason) => {
      verifier.request(GRANT, [
        { clientId: 'a', reason },
        { clientId: 'b', reason: 'request' },
      ]);
      const dueAt = ['a', 'b'].map((id) => verifier.pendingOf(GRANT).get(id)?.dueAt ?? NaN);
      expect(dueAt[0]).toBeGreaterThan(dueAt[1] ?? NaN);
    },
  );
});

it('a reading proves an absence unless the last check of the broker has found that it cannot, which one log line says', async () => {
  const warn = jest.spyOn(quiet, 'warn');
  for (const [absenceProvable, provesAbsence] of [
    [null, true],
    [true, true],
    [false, false],
  ] as const) {
    facts.absenceProvable = absenceProvable;
    requestVerification('a', 'b');
    await untilRead('a', 'b');
    expect(verifier.pendingOf(GRANT).get('a')).toMatchObject({ provesAbsence });
    const outcome = provesAbsence ? 'agreed' : 'unproven';
    const completed = Array.from(
      results.values(),
      ({ clientId, attempt }) => ({ clientId, attempt, outcome }) as const,
    );
    results.clear();
    await verifier.complete(GRANT, completed);
    expect(verifier.pendingOf(GRANT).size).toBe(0);
  }
  expect(warn.mock.calls).toEqual([[{ client_id: 'a', skipped: 0 }, expect.stringContaining('cannot prove')]]);
  warn.mockRestore();
});
