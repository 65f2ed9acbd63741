/**
 * Sweeps of 20,000 retained handshakes behind the contrary broker: one is complete only if it has read every one of them, and
 * what it did not see is found by a verification. All sweeps run at the same time, because they wait most of it.
 */
import { connectAsync } from 'mqtt';
import { RetainedReader } from '@app/broker';
import { connectRedis, type Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { decodeMailboxEntry } from '@app/registry';
import type { Grant } from '@app/sharding';
import { SweepCompletion, type Completion } from '../../apps/status-ingester/src/reconciliation/sweep-completion.js';
import { SweepReading } from '../../apps/status-ingester/src/reconciliation/sweep-reading.js';
import { Verifier } from '../../apps/status-ingester/src/reconciliation/verifier.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { dropsInMidRead, lostRetained, pausesInMidRead, sameDropped } from '../support/contrary/retained-losses.js';
import { sentinelAlwaysFirst, sentinelFirst } from '../support/contrary/retained-order.js';
import { Random, seedOfRun } from '../support/random.js';
import { gate, quiet, startMosquitto, startRedis, type Server } from '../support/servers.js';

const CLIENTS = 20_000;
const SENTINEL = 'spec/sentinel';
const STATUS = new TopicTemplate('in/{clientId}');
const SILENCE_MS = 30_000;
const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1' };

const random = new Random(seedOfRun());
const ids = Array.from({ length: CLIENTS }, (_, i) => `client-${i}`);
/** Clients whose handshakes the broker never sends to a subscription with a wildcard. */
const hidden = random.shuffled(ids).slice(0, 300);

const BEHAVIOURS = {
  'sends the sentinel first and the others with pauses of 500 ms': [pausesInMidRead(500, 3), sentinelFirst],
  'pauses for 500 ms in the middle': [pausesInMidRead(500, 3)],
  'sends the sentinel first even if it has a SUBSCRIBE of its own': [sentinelAlwaysFirst],
  'drops other messages in each pass': [dropsInMidRead(1000, random, 8 + random.below(8))],
  'never sends the sentinel': [lostRetained(SENTINEL)],
  'drops the same messages in each pass': [sameDropped(new Set(hidden.map((id) => STATUS.topicOf(id))))],
} as const satisfies Record<string, readonly Behaviour[]>;
type Name = keyof typeof BEHAVIOURS;

interface Swept {
  readonly completion: Completion;
  readonly unseen: readonly string[];
}

let mosquitto: Server;
let store: Server;
let redis: Redis;
const contrary = new Map<Name, ContraryBroker>();
const sweeps = new Map<Name, Promise<Swept>>();

beforeAll(async () => {
  [mosquitto, store] = await Promise.all([startMosquitto(), startRedis()]);
  redis = connectRedis(store.url, { name: 'spec', whenAway: 'wait' }, quiet);
  const device = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  for (const id of ids) device.publish(STATUS.topicOf(id), `handshake of ${id}`, { qos: 0, retain: true });
  // The broker acknowledges it when it has retained those before it.
  await device.publishAsync('spec/last', 'last', { qos: 1 });
  await device.endAsync();
  for (const name of Object.keys(BEHAVIOURS) as Name[]) {
    contrary.set(name, await ContraryBroker.before(mosquitto.port, ...BEHAVIOURS[name]));
    const sweep = sweepBehind(name);
    sweep.catch(() => undefined);
    sweeps.set(name, sweep);
  }
});

afterAll(async () => {
  await Promise.allSettled(sweeps.values());
  await Promise.all(Array.from(contrary.values(), (broker) => broker.stop()));
  redis.disconnect();
  await Promise.all([mosquitto.stop(), store.stop()]);
});

function urlOf(name: Name): string {
  return contrary.get(name)?.url ?? '';
}

/** Reads as a sweep does, in passes. */
async function sweepBehind(name: Name): Promise<Swept> {
  const reading = new SweepReading(
    { broker: { url: urlOf(name) }, sentinel: SENTINEL, statusTopics: [STATUS], maxInboundBytes: 1024, shardCount: 4 },
    `sweep-${Math.random()}`,
    new AbortController().signal,
    () => Promise.resolve(),
    () => false,
    // The proxy sends nothing before it has all messages, and shares this process with all sweeps.
    name === 'never sends the sentinel' ? undefined : SILENCE_MS,
  );
  const found = new Set<string>();
  try {
    const after = new SweepCompletion();
    for (;;) {
      const completion = after.after(await reading.pass());
      for (const id of ids) if (reading.hasSeen(id)) found.add(id);
      if (completion !== undefined) return { completion, unseen: ids.filter((id) => !found.has(id)) };
    }
  } finally {
    reading.close();
  }
}

async function sweptBehind(name: Name): Promise<Swept> {
  const swept = await sweeps.get(name);
  if (swept === undefined) throw new Error(`no sweep runs behind a broker that ${name}`);
  return swept;
}

describe('a sweep of 20,000 handshakes', () => {
  it.each<Name>([
    'sends the sentinel first and the others with pauses of 500 ms',
    'pauses for 500 ms in the middle',
    'sends the sentinel first even if it has a SUBSCRIBE of its own',
  ])('is complete, and has read every one, behind a broker that %s', async (name) => {
    expect(await sweptBehind(name)).toEqual({ completion: { complete: true }, unseen: [] });
  });

  it('is complete only if it has read every one behind a broker that drops other messages in each pass', async () => {
    const { completion, unseen } = await sweptBehind('drops other messages in each pass');
    if (completion.complete) expect(unseen).toEqual([]);
    else expect(completion.reason).toBe('more-each-time');
  });

  it('is incomplete behind a broker that never sends the sentinel, and says why', async () => {
    const { completion } = await sweptBehind('never sends the sentinel');
    expect(completion).toEqual({ complete: false, reason: 'cut-short' });
  });

  it('cannot see that a broker drops the same messages in each pass; verifications find each of them', async () => {
    const name = 'drops the same messages in each pass';
    const { unseen } = await sweptBehind(name);
    expect(unseen.toSorted()).toEqual(hidden.toSorted());
    expect(await verified(urlOf(name), unseen)).toEqual(
      Object.fromEntries(unseen.map((id) => [id, [`handshake of ${id}`]])),
    );
  });
});

/** Verifies clients. @returns what was read of each of them */
async function verified(url: string, clientIds: readonly string[]): Promise<Record<string, string[]>> {
  const readings: Record<string, string[]> = {};
  const all = gate();
  const apply = (items: readonly string[]): number => {
    for (const text of items) {
      const entry = decodeMailboxEntry({ id: '1-1', text });
      if (entry.kind === 'verified') readings[entry.clientId] = entry.retained.map(({ body }) => body);
    }
    if (Object.keys(readings).length === clientIds.length) all.open();
    return items.length;
  };
  const reader = new RetainedReader({ url }, `verifier-${Math.random()}`, SENTINEL, quiet);
  const verifier = new Verifier({
    reader,
    facts: { absenceProvable: true },
    barrier: { pass: () => Promise.resolve() },
    mailboxes: { idBefore: () => Promise.resolve('0-0'), sendAll: (_, items) => Promise.resolve(apply(items)) },
    redis,
    statusTopics: [STATUS],
    maxInboundBytes: 1024,
    rate: 100_000,
    logger: quiet,
  });
  try {
    verifier.request(
      GRANT,
      clientIds.map((clientId) => ({ clientId, reason: 'sweep' as const })),
    );
    await all.passed;
    return readings;
  } finally {
    await Promise.all([verifier.stop(), reader.close()]);
  }
}
