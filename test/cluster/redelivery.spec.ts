/**
 * What the intake stored and acknowledged comes again with DUP, because the broker did not get the PUBACKs: after the
 * connection of the lane was cut, after another ingester took the lane over, and after the owner was killed. Events, dead
 * letters, statuses with their history, and the registry are as they were.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { acknowledgementsLost } from '../support/contrary/acknowledgements.js';
import { TestClient } from '../support/mqtt-client.js';

const PARTS = ['here', 'changing', 'going', 'vanishing', 'failing', 'wrong'] as const;
/** How many messages clients publish in one play, with the last one's handshake. */
const PUBLISHED = 14;
/** One shard and one lane: when a message has had its effect, those before it have had theirs. */
const SHARD = 'cc:{s0}';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-redelivery-'));
let env: Record<string, string>;
let mosquittoUrl: string;
let broker: ContraryBroker;
let redis: Redis;
let blocking: Redis;
let api: Api;
/** Owns the lane. */
let owner: Awaited<ReturnType<typeof startApp>>;
let ingesters = 0;
/** Whether the broker gets no PUBACKs of the lane. */
let areLost = false;

beforeAll(async () => {
  const [store, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  mosquittoUrl = mosquitto.url;
  broker = await ContraryBroker.before(
    mosquitto.port,
    acknowledgementsLost((clientId) => areLost && clientId.includes('-lane-')),
  );
  [redis, blocking] = [new Redis(store.url), new Redis(store.url)];
  env = { REDIS_URL: store.url, MQTT_URL: mosquittoUrl, SHARD_COUNT: '1', LEASE_TIME: '2s', EVENT_SETTLE: '0s' };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('dispatcher', { dir, env }),
    startIngester().then((started) => (owner = started)),
  ]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  redis.disconnect();
  blocking.disconnect();
  await stopAll();
  await broker.stop();
  rmSync(dir, { recursive: true });
});

function startIngester(): ReturnType<typeof startApp> {
  const name = `status-ingester-${++ingesters}`;
  return startApp('status-ingester', { dir, name, env: { ...env, MQTT_URL: broker.url } });
}

/** How many redeliveries the owner of the lane has left out since it was started. */
async function leftOut(): Promise<number> {
  const text = await (await fetch(`${owner.url}/metrics`)).text();
  return Number(/^cloud_connector_intake_repeats_total{lane="0"} (\d+)$/m.exec(text)?.[1]);
}

/** Clients come, change, go and return, vanish, refuse a message, and send what is no message. */
async function play(name: string): Promise<void> {
  const [here, changing, going, vanishing, failing, wrong] = await Promise.all(
    PARTS.map((part) => TestClient.connect(mosquittoUrl, `${name}-${part}`)),
  );
  if (!here || !changing || !going || !vanishing || !failing || !wrong) throw new Error('a client is missing');
  await Promise.all([here, changing, going, vanishing, failing].map((client) => client.shakeHands()));
  await changing.shakeHands({ fqdn: 'changed.example.com' });
  await going.sayGoodbye();
  const returned = await TestClient.connect(mosquittoUrl, going.id);
  await returned.shakeHands();
  await wrong.publish('no JSON', false);
  await here.reportError('unknown', 'answers nothing that was sent');
  vanishing.vanish();
  await untilEvent({ client_id: vanishing.id, type: 'connection.offline' });
  const path = `/v1/connections/${failing.id}/messages`;
  await api.call('POST', path, { directive: 'test:failing', payload: null });
  const { message_id } = await failing.waitFor('the message', ({ directive }) => directive === 'test:failing');
  await untilEvent({ message_id, status: 'sent' });
  await failing.reportError(message_id, 'cannot be done');
  // What answers do to messages follows after their commit.
  await untilEvent({ message_id, status: 'failed' });
  await untilEvent({ client_id: here.id, type: 'message.unmatched_error' }, 'events:refusals');
}

/** A client that has shaken hands after all others, so that their messages have had their effects. */
async function untilApplied(id: string): Promise<void> {
  const last = await TestClient.connect(mosquittoUrl, id);
  await last.shakeHands();
  await untilEvent({ client_id: id, type: 'connection.online' });
}

async function untilEvent(wanted: Record<string, string>, key = 'events'): Promise<void> {
  for (let from = '0'; ;) {
    const [stream] = (await blocking.xread('BLOCK', 30_000, 'STREAMS', `${SHARD}:${key}`, from)) ?? [];
    if (stream === undefined) throw new Error(`there is no event ${JSON.stringify(wanted)}`);
    for (const [id, fields] of stream[1]) {
      from = id;
      const event = JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as Record<string, unknown>;
      if (Object.entries(wanted).every(([member, value]) => event[member] === value)) return;
    }
  }
}

type StoredEvent = [id: string, fields: string[]];

/** The number of events: an entry may have a second one, which is the next status of the same message. */
function countOf(entries: readonly StoredEvent[]): number {
  return entries.reduce((count, [, fields]) => count + (fields.includes('next') ? 2 : 1), 0);
}

/** What was stored of these clients. */
async function effects(
  name: string,
): Promise<{ streams: StoredEvent[][]; connections: unknown[]; messages: unknown[] }> {
  const streams = ['events', 'events:refusals', 'dead-letters'].map(async (stream) => {
    const entries = await redis.xrange(`${SHARD}:${stream}`, '-', '+');
    return entries.filter(([, fields]) => fields.some((field) => field.includes(`"client_id":"${name}-`)));
  });
  const connections = redis.hmget(`${SHARD}:connections`, ...PARTS.map((part) => `${name}-${part}`));
  const { body } = await api.call<{ data: MessageView[] }>('GET', `/v1/connections/${name}-failing/messages`);
  return { streams: await Promise.all(streams), connections: await connections, messages: body.data };
}

function cut(): Promise<void> {
  broker.cut();
  return Promise.resolve();
}

/** The lane moves in order: when the other ingester starts, or when its owner ends. */
async function handOver(): Promise<void> {
  const former = owner;
  owner = await startIngester();
  await former.stop();
}

async function kill(): Promise<void> {
  await owner.kill();
  owner = await startIngester();
}

it.each([
  ['its connection is cut', 'cut', cut],
  ['it is handed over to another ingester', 'moved', handOver],
  ['its owner is killed', 'killed', kill],
])('what a lane has stored takes effect once if it comes again because %s', async (_, name, fault) => {
  areLost = true;
  await play(name);
  await untilApplied(`before-${name}`);
  const before = await effects(name);
  expect(before.streams.map(countOf)).toEqual([5 + 1 + 2 + 1 + 4, 1, 1]);
  // A new process begins to count at 0.
  const former = owner;
  const leftOutBefore = await leftOut();
  areLost = false;
  await fault();
  await untilApplied(`after-${name}`);
  expect(await effects(name)).toEqual(before);
  expect(await leftOut()).toBe(PUBLISHED + (owner === former ? leftOutBefore : 0));
});
