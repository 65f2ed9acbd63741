/**
 * Disconnects as they really are, with a real broker: each ends in the state that the broker retains, and stays there.
 * What does not depend on the broker (any order of these, clocks that jump) is played by
 * `rules/transition-properties.spec.ts` and `shard/verification.spec.ts` as properties.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { connectRedis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import {
  SAVED_AT_EACH_CHANGE,
  startApp,
  startMosquitto,
  startRedis,
  stopAll,
  waitUntil,
} from '../../scripts/stack.mjs';
import type { DeadLetterPageBody } from '../../apps/api-gateway/src/cluster/dead-letter.dto.js';
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import { Api, type ConnectionView } from '../support/api.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { quiet } from '../support/servers.js';
import { differences } from './retained-store.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-disconnects-'));
const clients = new Set<MqttClient>();
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let ingester: Awaited<ReturnType<typeof startApp>>;
let redis: Awaited<ReturnType<typeof startRedis>>;
let api: Api;
let number = 0;
let id: string;

beforeAll(async () => {
  redis = await startRedis({ dir });
  mosquitto = await startBroker();
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: 'warn', RECONFIRM_WINDOW: '3s' };
  api = new Api((await startApp('api-gateway', { dir, env })).url);
  ingester = await startApp('status-ingester', { dir, env });
}, 60_000);

beforeEach(() => {
  id = `leaver-${number++}`;
});

afterAll(async () => {
  for (const client of clients) client.end(true);
  await stopAll();
  rmSync(dir, { recursive: true });
}, 60_000);

function startBroker(port?: number): ReturnType<typeof startMosquitto> {
  return startMosquitto({
    dir,
    persist: true,
    config: ['sys_interval 1', ...SAVED_AT_EACH_CHANGE],
    ...(port !== undefined && { port }),
  });
}

/** Connects with a last will that may say what it likes. */
async function connect(will: Record<string, unknown> = {}, more: IClientOptions = {}, delay = 0): Promise<MqttClient> {
  const client = await connectAsync(mosquitto.url, {
    clientId: id,
    protocolVersion: 5,
    reconnectPeriod: 0,
    will: {
      ...{ topic: topic(), payload: Buffer.from(envelope('offline', will)), qos: 1, retain: true },
      properties: { willDelayInterval: delay },
    },
    ...more,
  });
  client.on('error', () => undefined);
  clients.add(client);
  return client;
}

function topic(): string {
  return `redhat/insights/in/${id}`;
}

async function retain(client: MqttClient, text: string): Promise<void> {
  await client.publishAsync(topic(), text, { qos: 1, retain: true });
}

async function shakeHands(client: MqttClient, more: Record<string, unknown> = {}): Promise<string> {
  const message_id = randomUUID();
  const payload = { canonical_facts: { fqdn: `${id}.example.com` } };
  await retain(client, envelope('host-handshake', { message_id, payload, ...more }));
  return message_id;
}

function until(state: string, more: Partial<ConnectionView> = {}): Promise<ConnectionView> {
  return api.untilConnection(id, (one) => {
    const wanted = { state, ...more };
    return Object.entries(wanted).every(([name, value]) => one[name as keyof ConnectionView] === value);
  });
}

/** The broker has saved what has come since then. */
async function untilSaved(since: number): Promise<void> {
  await waitUntil(
    () => {
      const saved = statSync(join(dir, 'mosquitto', 'mosquitto.db')).mtimeMs;
      if (saved < since) throw new Error('not saved');
    },
    { what: 'the broker to save' },
  );
}

/**
 * The uptime of this run of the broker is known, or a restart would not be noticed; and its clients would not count as
 * confirmed, as those of the last two seconds before a restart do.
 */
async function untilRestartCounts(shookHandsBy: number): Promise<void> {
  const connection = connectRedis(redis.url, { name: 'test', whenAway: 'wait' }, quiet);
  try {
    await waitUntil(async () => {
      expect(await connection.hexists(new RegistryKeys('cc').broker, 'run')).toBe(1);
      expect(Date.now()).toBeGreaterThan(shookHandsBy + 4000);
    });
  } finally {
    connection.disconnect();
  }
}

/** The registry says what the broker retains, about this client and every other. */
async function agreed(): Promise<void> {
  await waitUntil(
    async () => {
      const found = await differences(mosquitto.url, api.url, [id]);
      if (found.length > 0) throw new Error(found.join('\n'));
    },
    { what: 'agreement', timeoutMs: 20_000 },
  );
}

it('a take-over by the same id: the broker publishes the will of the old connection, the new handshake counts', async () => {
  const first = await connect();
  await shakeHands(first);
  const second = await connect();
  // The will was published before the broker let the new connection in.
  await until('offline', { offline_reason: 'retained-offline' });
  const handshake_message_id = await shakeHands(second);
  await until('online', { handshake_message_id });
  await agreed();
});

it('a will delayed by the broker: the client stays online, and is so still where it came back in time', async () => {
  const first = await connect({}, { properties: { sessionExpiryInterval: 60 }, clean: true }, 2);
  await shakeHands(first);
  await until('online');
  first.stream.destroy();
  const second = await connect({}, { properties: { sessionExpiryInterval: 60 }, clean: false }, 1);
  const handshake_message_id = await shakeHands(second);
  await until('online', { handshake_message_id });
  second.stream.destroy();
  await until('offline', { offline_reason: 'retained-offline' });
  await agreed();
});

it('a will whose sent is older than the handshake it ends counts', async () => {
  const client = await connect({ sent: '2001-01-01T00:00:00Z' });
  await shakeHands(client, { sent: '2030-01-01T00:00:00Z' });
  await until('online');
  client.stream.destroy();
  await until('offline', { offline_reason: 'retained-offline' });
});

it('a reconnect within the same second, again and again, ends online', async () => {
  const sent = new Date().toISOString();
  let handshake_message_id = '';
  for (let i = 0; i < 10; i++) {
    const client = await connect({ sent });
    handshake_message_id = await shakeHands(client, { sent });
    if (i < 9) client.stream.destroy();
  }
  await until('online', { handshake_message_id });
  await agreed();
});

it('a clock that jumps to 1970 and back changes nothing', async () => {
  const client = await connect();
  for (const sent of ['2030-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2026-01-01T00:00:00Z']) {
    const handshake_message_id = await shakeHands(client, { sent });
    await until('online', { handshake_message_id });
  }
  await retain(client, envelope('offline', { sent: '1970-01-01T00:00:01Z' }));
  await until('offline', { offline_reason: 'retained-offline' });
});

it.each([
  ['offline, and the handshake removed', ['offline', 'remove'], 'goodbye'],
  ['a retained offline', ['retained offline'], 'retained-offline'],
  ['the handshake removed, and nothing said', ['remove'], 'handshake-removed'],
  ['the handshake removed, then offline', ['remove', 'offline'], 'handshake-removed'],
  ['offline, then a retained offline', ['offline', 'retained offline'], 'goodbye'],
])('a goodbye by %s', async (_, words, reason) => {
  const client = await connect();
  await shakeHands(client);
  await until('online');
  for (const word of words) {
    if (word === 'remove') await retain(client, '');
    else if (word === 'retained offline') await retain(client, envelope('offline'));
    else await client.publishAsync(topic(), envelope('offline'), { qos: 1 });
  }
  // In order, so that no will follows.
  await client.endAsync();
  await until('offline', { offline_reason: reason });
  await agreed();
});

it('a goodbye that leaves the handshake behind: offline at once, and then what the broker says', async () => {
  const client = await connect();
  await shakeHands(client);
  await until('online');
  await client.publishAsync(topic(), envelope('offline'), { qos: 1 });
  await client.endAsync();
  await until('offline', { offline_reason: 'goodbye' });
  await until('online');
  await agreed();
});

it.each([
  [
    'a message-error, retained by mistake',
    envelope('message-error', { in_response_to: 'm', payload: { details: 'd' } }),
    'unknown',
  ],
  ['a handshake that is not valid', envelope('host-handshake', { payload: {} }), 'invalid-handshake'],
  ['JSON of somebody else', '{"temperature":21}', 'unknown'],
  ['what is not JSON', 'hello', 'unknown'],
])(
  '%s in the place of the handshake takes the client offline, until it shakes hands again',
  async (_, text, reason) => {
    const client = await connect();
    await shakeHands(client);
    await until('online');
    await retain(client, text);
    await until('offline', { offline_reason: reason });
    const handshake_message_id = await shakeHands(client);
    await until('online', { handshake_message_id });
  },
);

it('a retained handshake that is not valid is answered once, also where sweeps find it again', async () => {
  const client = await TestClient.connect(mosquitto.url, id);
  clients.add(client.mqtt);
  await client.shakeHands();
  await until('online');
  await client.publish(envelope('host-handshake', { message_id: 'not-valid', payload: {} }), true);
  await client.waitFor('the refusal', ({ type }) => type === 'handshake-error');
  for (let i = 0; i < 2; i++) {
    const before = await api.call<SweepBody>('GET', '/v1/cluster/sweeps/latest');
    await api.call('POST', '/v1/cluster/sweeps');
    await waitUntil(async () => {
      const { body } = await api.call<SweepBody>('GET', '/v1/cluster/sweeps/latest');
      if (body.sweep_id === before.body.sweep_id || body.state !== 'ended') throw new Error('not swept');
    });
  }
  const letters = (await api.call<DeadLetterPageBody>('GET', '/v1/cluster/dead-letters?limit=200')).body.data;
  expect(letters.filter(({ client_id }) => client_id === id)).toHaveLength(1);
  expect(client.distinct).toMatchObject([{ type: 'handshake-error', in_response_to: 'not-valid' }]);
});

it('a client that is forced off is refused within its window, once each message id, and let in after it', async () => {
  const client = await TestClient.connect(mosquitto.url, id);
  clients.add(client.mqtt);
  await client.shakeHands();
  await until('online');
  const body = { reconnect_after: 'PT3S' };
  expect((await api.call('POST', `/v1/connections/${id}/force-disconnect`, body)).status).toBeLessThan(300);
  await client.waitFor('the force-disconnect', ({ type }) => type === 'force-disconnect');
  const message_id = await client.shakeHands();
  await client.waitFor('the refusal', ({ in_response_to }) => in_response_to === message_id);
  const refused = await until('offline', { offline_reason: 'refused' });
  // What is retained was refused, and does not count when the window is over: the client must shake hands again.
  await waitUntil(() => expect(Date.now()).toBeGreaterThan(Date.parse(refused.refused_until ?? '')));
  await api.call('POST', `/v1/connections/${id}/verify`);
  await until('offline', { offline_reason: 'refused' });
  const handshake_message_id = await client.shakeHands();
  await until('online', { handshake_message_id });
  expect(client.distinct.filter(({ type }) => type === 'handshake-error')).toHaveLength(1);
});

it('a broker killed while clients are there: who does not shake hands again is unconfirmed, until it does', async () => {
  const silent = await connect();
  const since = Date.now();
  await shakeHands(silent);
  await until('online');
  const { port } = mosquitto;
  await untilSaved(since);
  await untilRestartCounts(since);
  await mosquitto.kill();
  mosquitto = await startBroker(port);
  await until('offline', { offline_reason: 'unconfirmed' });
  const again = await connect();
  const handshake_message_id = await shakeHands(again);
  await until('online', { handshake_message_id });
}, 60_000);

it('a broker killed, and a client that is back before the lanes are: it stays online', async () => {
  const since = Date.now();
  await shakeHands(await connect());
  await until('online');
  const gone = await TestClient.connect(mosquitto.url, `${id}-gone`);
  await gone.shakeHands();
  await api.untilConnection(`${id}-gone`, ({ state }) => state === 'online');
  const { port } = mosquitto;
  await untilSaved(since);
  await untilRestartCounts(since);
  process.kill(ingester.pid ?? 0, 'SIGSTOP');
  await mosquitto.kill();
  mosquitto = await startBroker(port);
  // No lane has subscribed: only what is retained says that it is back.
  const handshake_message_id = await shakeHands(await connect());
  process.kill(ingester.pid ?? 0, 'SIGCONT');
  await api.untilConnection(`${id}-gone`, ({ offline_reason }) => offline_reason === 'unconfirmed');
  await until('online', { handshake_message_id });
}, 60_000);

it('a broker killed that has lost all it retained: clients are offline, until they are back', async () => {
  const before = await connect();
  await shakeHands(before);
  await until('online');
  const { port } = mosquitto;
  await mosquitto.kill();
  rmSync(join(dir, 'mosquitto', 'mosquitto.db'), { force: true });
  mosquitto = await startBroker(port);
  await until('offline', { offline_reason: 'handshake-removed' });
  const handshake_message_id = await shakeHands(await connect());
  await until('online', { handshake_message_id });
}, 60_000);
