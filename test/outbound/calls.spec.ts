/**
 * Two hundred calls are under way to devices that answer, and a process of each kind is killed, or a dispatcher is frozen for longer
 * than its lease. Every answer that the broker has acknowledged is readable, every caller gets its own answer, and each device gets
 * its messages in order.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { CloudConnector } from '@app/client';
import { shardOf } from '@app/protocol';
import { RegistryKeys, eventsOfEntry } from '@app/registry';
import { startApp, startMosquitto, startRedis, stopAll, type AppName } from '../../scripts/stack.mjs';
import type { MessageBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api, type Answer } from '../support/api.js';
import { counterOf } from '../support/ingester-app.js';
import { gate } from '../support/servers.js';
import { AnsweringDevice, type GivenAnswer } from './support/answering-device.js';
import { firsts } from './support/subscriber.js';

type App = Awaited<ReturnType<typeof startApp>>;
/** What a caller got for its request: the answer, 202, or no response. */
type Got = { kind: 'answer'; payload: unknown } | { kind: 'accepted' } | { kind: 'cut' };

const SHARDS = 8;
const CALLS = 200;
/** The fault comes with this message. */
const FAULT_AT = 60;
const APPS: readonly AppName[] = ['api-gateway', 'status-ingester', 'dispatcher'];

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-calls-'));
const keys = new RegistryKeys('cc');
const env: Record<string, string> = {};
/** Two of each kind. */
const apps = {} as Record<AppName, [App, App]>;
let store: Redis;
/** One of each shard, so that each ingester and each dispatcher has half of them. */
let devices: AnsweringDevice[];
let beforeAnswer: (messageId: string) => Promise<void> | void = () => undefined;
let started = 0;
let called = 0;

function start(app: AppName, port?: number): Promise<App> {
  return startApp(app, { dir, name: `${app}-${started++}`, env, ...(port !== undefined && { port }) });
}

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  const urls = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url };
  Object.assign(env, { ...urls, SHARD_COUNT: `${SHARDS}`, LEASE_TIME: '2s', LOG_LEVEL: 'warn' });
  store = new Redis(redis.url);
  await Promise.all(
    APPS.map(async (app) => {
      apps[app] = await Promise.all([start(app), start(app)]);
    }),
  );
  const candidates = Array.from({ length: 100 }, (_, i) => `calls-${i}`);
  const ids = Array.from(
    { length: SHARDS },
    (_, shard) => candidates.find((id) => shardOf(id, SHARDS) === shard) ?? '',
  );
  devices = await Promise.all(
    ids.map((id) => AnsweringDevice.connect(mosquitto.url, id, (messageId) => beforeAnswer(messageId))),
  );
  for (const id of ids) await gateway(0).untilConnection(id, ({ state }) => state === 'online');
});

afterAll(async () => {
  store.disconnect();
  for (const { client } of devices) client.vanish();
  await stopAll();
  rmSync(dir, { recursive: true });
});

function gateway(which: 0 | 1): Api {
  return new Api(apps['api-gateway'][which].url);
}

/** A request with `Prefer: wait`. */
async function post(to: Api, id: string, call: string): Promise<Got> {
  const body = { directive: 'test:call', payload: call, response_timeout_seconds: 30 };
  let response: Answer<unknown>;
  try {
    response = await to.send(id, body, { prefer: 'wait=60', 'idempotency-key': call });
  } catch (error) {
    // As undici says it when there is no connection; the class is that of another realm.
    if ((error as Error).name !== 'TypeError') throw error;
    return { kind: 'cut' };
  }
  const { answer } = response.body as MessageBody;
  if (response.status === 202) return { kind: 'accepted' };
  if (response.status === 200 && answer !== null) return { kind: 'answer', payload: answer.payload };
  throw new Error(`call ${call} was answered with ${response.status}: ${JSON.stringify(response.body)}`);
}

/** A call of the published client, which asks again until it has the answer. */
async function callOf({ url }: Api, id: string, call: string): Promise<Got> {
  const settings = { timeoutMs: 60_000, idempotencyKey: call };
  const client = new CloudConnector({ baseUrl: url });
  return { kind: 'answer', payload: await client.call(id, { directive: 'test:call', payload: call }, settings) };
}

interface Called {
  id: string;
  call: string;
  got: Got;
}

/** Calls at both gateways and in both ways at the same time, the same number for each device. */
async function callAll(count: number): Promise<Called[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const call = `call ${called++}`;
      const { id = '' } = devices[i % SHARDS] ?? {};
      const way = Math.floor(i / SHARDS);
      const to = gateway(way % 2 === 0 ? 0 : 1);
      return { id, call, got: await (way % 4 < 2 ? post(to, id, call) : callOf(to, id, call)) };
    }),
  );
}

/**
 * Calls, with a fault while most of them are under way. Who got no response repeats its request at the other gateway.
 * `silent`: from the middle on, devices answer only when they have all messages, so that what is published again has no answer.
 */
async function callDuring(what: string, inject: () => void, { silent = false } = {}): Promise<Called[]> {
  let count = 0;
  const asked = new Set<string>();
  const all = gate();
  beforeAnswer = (messageId) => {
    if (++count === FAULT_AT) inject();
    if (asked.add(messageId).size === CALLS) all.open();
    return silent && asked.size > FAULT_AT / 2 ? all.passed : undefined;
  };
  const calls = await callAll(CALLS);
  beforeAnswer = () => undefined;
  const cut = calls.filter(({ got }) => got.kind === 'cut');
  const answered = calls.filter(({ got }) => got.kind === 'answer');
  process.stdout.write(`${what}: ${answered.length} answered, ${cut.length} cut, ${count - asked.size} repeats\n`);
  return [
    ...calls,
    ...(await Promise.all(cut.map(async ({ id, call }) => ({ id, call, got: await post(gateway(1), id, call) })))),
  ];
}

/** Which app of two has more of what the metric measures. */
async function busier(app: AppName, metric: string): Promise<0 | 1> {
  const [first = 0, second = 0] = await Promise.all(apps[app].map(({ url }) => counterOf(url, metric)));
  expect(first + second).toBeGreaterThan(0);
  return first >= second ? 0 : 1;
}

/** By message id: the client, and the statuses that were emitted, in order. A Map, so also the order of acceptance. */
async function emitted(): Promise<Map<string, { client: string; statuses: string[] }>> {
  const messages = new Map<string, { client: string; statuses: string[] }>();
  for (let shard = 0; shard < SHARDS; shard++) {
    for (const [entry, fields] of await store.xrange(keys.events(shard), '-', '+')) {
      for (const { text } of eventsOfEntry(entry, shard, fields)) {
        const event = JSON.parse(text) as { type: string; client_id: string; message_id: string; status: string };
        if (event.type !== 'message.status') continue;
        const known = messages.get(event.message_id);
        if (known === undefined) messages.set(event.message_id, { client: event.client_id, statuses: [event.status] });
        else known.statuses.push(event.status);
      }
    }
  }
  return messages;
}

async function read(messageId: string): Promise<MessageBody> {
  return (await gateway(1).call<MessageBody>('GET', `/v1/messages/${messageId}`, undefined, { prefer: 'wait=60' }))
    .body;
}

/** Checks all calls so far. */
async function verify(calls: readonly Called[]): Promise<void> {
  const ofCall = new Map<unknown, string>();
  const given = new Map<string, GivenAnswer>();
  const accepted = await emitted();
  for (const device of devices) {
    await device.untilAcknowledged();
    for (const { message_id: id, payload } of device.received) {
      // A call has one message, however often it is repeated, and a message has one call.
      expect([payload, ofCall.get(payload) ?? id]).toEqual([payload, id]);
      ofCall.set(payload, id);
    }
    const inOrder = [...accepted].filter(([, { client }]) => client === device.id).map(([id]) => id);
    expect(firsts(device.received.map(({ message_id }) => message_id))).toEqual(inOrder);
    for (const [id, answer] of device.acknowledged) given.set(id, answer);
  }
  expect([ofCall.size, accepted.size, given.size]).toEqual([called, called, called]);
  await Promise.all(
    Array.from(given, async ([id, answer]) => {
      const { status, answer: shown } = await read(id);
      expect([id, status, shown?.message_id, shown?.payload]).toEqual([
        id,
        'answered',
        answer.message_id,
        answer.payload,
      ]);
    }),
  );
  for (const [id, { statuses }] of await emitted())
    expect([id, statuses.filter((status) => status === 'answered')]).toEqual([id, ['answered']]);
  for (const { call, got } of calls) {
    if (got.kind === 'answer') expect(got.payload).toEqual({ of: ofCall.get(call), asked: call });
  }
}

describe('calls under way', () => {
  it('end with their answers, with 202 or without a response if a gateway is killed, and none is lost', async () => {
    const [victim] = apps['api-gateway'];
    let again: Promise<App> | undefined;
    const calls = await callDuring('a gateway is killed', () => {
      again = victim.kill().then(() => start('api-gateway', victim.port));
    });
    apps['api-gateway'][0] = await (again ?? victim);
    await verify(calls);
    expect(calls.some(({ got }) => got.kind === 'cut')).toBe(true);
  });

  it.each([
    ['status-ingester', 'lanes_owned', false],
    ['dispatcher', 'outbound_shards_owned', true],
  ] as const)('end with their answers if a %s is killed', async (app, metric, silent) => {
    // A dispatcher has shards only while there are messages.
    await callAll(SHARDS);
    const which = await busier(app, metric);
    let again: Promise<App> | undefined;
    const kill = (): void => void (again = apps[app][which].kill().then(() => start(app)));
    try {
      await verify(await callDuring(`a ${app} is killed`, kill, { silent }));
    } finally {
      apps[app][which] = await (again ?? apps[app][which]);
    }
  });

  it('end with their answers if a dispatcher is frozen for longer than its lease, and it changes nothing when it goes on', async () => {
    await callAll(SHARDS);
    const frozen = apps.dispatcher[await busier('dispatcher', 'outbound_shards_owned')];
    const calls = await callDuring('a dispatcher is frozen', () => process.kill(frozen.pid ?? 0, 'SIGSTOP'));
    // The other one has sent everything, and that needs the shards of the frozen one.
    process.kill(frozen.pid ?? 0, 'SIGCONT');
    const { length: later } = devices;
    await verify([...calls, ...(await callAll(2 * later))]);
  });
});
