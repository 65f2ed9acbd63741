/**
 * All kinds of disconnects with a real broker: after each, the registry has the state that the broker retains, and keeps it.
 * `rules/transition-properties.spec.ts` and `shard/verification.spec.ts` test as properties what does not depend on the
 * broker: any order of these disconnects, and clocks that jump.
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
import { Api, type ConnectionView } from '../support/api.js';
import { CONTRARY_CONFIG, Detour } from '../support/contrary/detour.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { quiet } from '../support/servers.js';
import { differences } from './retained-store.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-disconnects-'));
const clients = new Set<MqttClient>();
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let detour: Detour;
let ingester: Awaited<ReturnType<typeof startApp>>;
let redis: Awaited<ReturnType<typeof startRedis>>;
let api: Api;
let number = 0;
let id: string;

beforeAll(async () => {
  redis = await startRedis({ dir });
  mosquitto = await startBroker();
  detour = await Detour.before(mosquitto);
  const env = { REDIS_URL: redis.url, MQTT_URL: detour.appUrl, LOG_LEVEL: 'warn', RECONFIRM_WINDOW: '3s' };
  api = new Api((await startApp('api-gateway', { dir, env })).url);
  ingester = await startApp('status-ingester', { dir, env });
});

beforeEach(() => {
  id = `leaver-${number++}`;
});

afterAll(async () => {
  for (const client of clients) client.end(true);
  await stopAll();
  await detour.stop();
  rmSync(dir, { recursive: true });
});

function startBroker(port?: number): ReturnType<typeof startMosquitto> {
  return startMosquitto({
    dir,
    persist: true,
    config: [...CONTRARY_CONFIG, 'sys_interval 1', ...SAVED_AT_EACH_CHANGE],
    ...(port !== undefined && { port }),
  });
}

/** Looks less often than `eventually`: verifications, sweeps and the broker's saving take their time. */
function untilTrue<T>(what: string, check: () => T | Promise<T>): Promise<T> {
  return waitUntil(check, { what });
}

/** Connects with a last will that has these members besides those of an `offline`. */
async function connect(will: Record<string, unknown> = {}, more: IClientOptions = {}, delay = 0): Promise<MqttClient> {
  const client = await connectAsync(detour.deviceUrl, {
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
    const expected = { state, ...more };
    return Object.entries(expected).every(([name, value]) => one[name as keyof ConnectionView] === value);
  });
}

/** Waits until the broker has saved its messages after `since`. */
async function untilSaved(since: number): Promise<void> {
  await untilTrue('the broker saves its messages', () => {
    const saved = statSync(join(dir, 'mosquitto', 'mosquitto.db')).mtimeMs;
    if (saved < since) throw new Error('not saved');
  });
}

/**
 * Waits until the uptime of this run of the broker is known, without which no restart is detected, and until the handshake is
 * old enough: a handshake of the last two seconds before a restart counts as a confirmation.
 */
async function untilRestartCounts(handshakeAt: number): Promise<void> {
  const connection = connectRedis(redis.url, { name: 'test', whenAway: 'wait' }, quiet);
  try {
    await untilTrue('a restart of the broker would count', async () => {
      expect(await connection.hexists(new RegistryKeys('cc').broker, 'run')).toBe(1);
      expect(Date.now()).toBeGreaterThan(handshakeAt + 4000);
    });
  } finally {
    connection.disconnect();
  }
}

/** Waits until the registry has the state that the broker retains, for all clients. */
async function untilEqual(): Promise<void> {
  await untilTrue('registry and broker are equal', async () => {
    const found = await differences(mosquitto.url, api.url, [id]);
    if (found.length > 0) throw new Error(found.join('\n'));
  });
}

describe('a client', () => {
  it('is online after a take-over by the same id, because the new handshake follows the will of the old connection', async () => {
    const first = await connect();
    await shakeHands(first);
    const second = await connect();
    // The broker published the will before it accepted the new connection.
    await until('offline', { offline_reason: 'retained-offline' });
    const handshake_message_id = await shakeHands(second);
    await until('online', { handshake_message_id });
    await untilEqual();
  });

  it('stays online if it returns before the broker publishes its delayed will', async () => {
    const first = await connect({}, { properties: { sessionExpiryInterval: 60 }, clean: true }, 2);
    await shakeHands(first);
    await until('online');
    first.stream.destroy();
    const second = await connect({}, { properties: { sessionExpiryInterval: 60 }, clean: false }, 1);
    const handshake_message_id = await shakeHands(second);
    await until('online', { handshake_message_id });
    second.stream.destroy();
    await until('offline', { offline_reason: 'retained-offline' });
    await untilEqual();
  });

  it('is offline after a will whose `sent` is older than that of its handshake', async () => {
    const client = await connect({ sent: '2001-01-01T00:00:00Z' });
    await shakeHands(client, { sent: '2030-01-01T00:00:00Z' });
    await until('online');
    client.stream.destroy();
    await until('offline', { offline_reason: 'retained-offline' });
  });

  it('is online after it has reconnected many times within a second', async () => {
    const sent = new Date().toISOString();
    let handshake_message_id = '';
    for (let i = 0; i < 10; i++) {
      const client = await connect({ sent });
      handshake_message_id = await shakeHands(client, { sent });
      if (i < 9) client.stream.destroy();
    }
    await until('online', { handshake_message_id });
    await untilEqual();
  });

  it('has the state of its last message if its clock jumps to 1970 and back', async () => {
    const client = await connect();
    for (const sent of ['2030-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2026-01-01T00:00:00Z']) {
      const handshake_message_id = await shakeHands(client, { sent });
      await until('online', { handshake_message_id });
    }
    await retain(client, envelope('offline', { sent: '1970-01-01T00:00:01Z' }));
    await until('offline', { offline_reason: 'retained-offline' });
  });

  it.each([
    ['an offline, then the removal of the handshake', ['offline', 'remove'], 'goodbye'],
    ['a retained offline', ['retained offline'], 'retained-offline'],
    ['only the removal of the handshake', ['remove'], 'handshake-removed'],
    ['the removal of the handshake, then an offline', ['remove', 'offline'], 'handshake-removed'],
    ['an offline, then a retained offline', ['offline', 'retained offline'], 'goodbye'],
  ])('is offline after a goodbye by %s', async (_, messages, reason) => {
    const client = await connect();
    await shakeHands(client);
    await until('online');
    for (const message of messages) {
      if (message === 'remove') await retain(client, '');
      else if (message === 'retained offline') await retain(client, envelope('offline'));
      else await client.publishAsync(topic(), envelope('offline'), { qos: 1 });
    }
    // With a DISCONNECT, so that no will follows.
    await client.endAsync();
    await until('offline', { offline_reason: reason });
    await untilEqual();
  });

  it('is offline after a goodbye that does not remove the handshake, until a verification makes it online', async () => {
    const client = await connect();
    await shakeHands(client);
    await until('online');
    await client.publishAsync(topic(), envelope('offline'), { qos: 1 });
    await client.endAsync();
    await until('offline', { offline_reason: 'goodbye' });
    await until('online');
    await untilEqual();
  });

  it.each([
    [
      'a retained message-error',
      envelope('message-error', { in_response_to: 'm', payload: { details: 'd' } }),
      'unknown',
    ],
    ['an invalid handshake', envelope('host-handshake', { payload: {} }), 'invalid-handshake'],
    ['JSON that is no message of the protocol', '{"temperature":21}', 'unknown'],
    ['text that is not JSON', 'hello', 'unknown'],
  ])('is offline if %s replaces its handshake, until it sends another handshake', async (_, text, reason) => {
    const client = await connect();
    await shakeHands(client);
    await until('online');
    await retain(client, text);
    await until('offline', { offline_reason: reason });
    const handshake_message_id = await shakeHands(client);
    await until('online', { handshake_message_id });
  });

  it('gets one reply to an invalid retained handshake, also if sweeps find the handshake again', async () => {
    const client = await TestClient.connect(detour.deviceUrl, id);
    clients.add(client.mqtt);
    await client.shakeHands();
    await until('online');
    await client.publish(envelope('host-handshake', { message_id: 'not-valid', payload: {} }), true);
    await client.waitFor('the refusal', ({ type }) => type === 'handshake-error');
    for (let i = 0; i < 2; i++) await api.sweep();
    const letters = (await api.call<DeadLetterPageBody>('GET', '/v1/cluster/dead-letters?limit=200')).body.data;
    expect(letters.filter(({ client_id }) => client_id === id)).toHaveLength(1);
    expect(client.distinct).toMatchObject([{ type: 'handshake-error', in_response_to: 'not-valid' }]);
  });

  it('stays online by the handshake it had when it was disconnected by force, until its next handshake is refused', async () => {
    const client = await TestClient.connect(mosquitto.url, id);
    clients.add(client.mqtt);
    const handshake_message_id = await client.shakeHands();
    await until('online', { handshake_message_id });
    await api.call('POST', `/v1/connections/${id}/force-disconnect`, { reconnect_after: 'never' });
    await client.waitFor('the force-disconnect', ({ type }) => type === 'force-disconnect');
    const verified = await api.verify(id);
    expect(verified).toMatchObject({ status: 200, body: { state: 'online', changed: false } });
    await api.sweep();
    await untilEqual();
    const next = await client.shakeHands();
    await client.waitFor('the refusal', ({ in_response_to }) => in_response_to === next);
    await until('offline', { offline_reason: 'refused' });
    expect(client.distinct.filter(({ type }) => type === 'handshake-error')).toHaveLength(1);
  });

  it('is refused once for each handshake until the end of a forced disconnect, and is accepted after that', async () => {
    const client = await TestClient.connect(detour.deviceUrl, id);
    clients.add(client.mqtt);
    await client.shakeHands();
    await until('online');
    const body = { reconnect_after: 'PT3S' };
    expect((await api.call('POST', `/v1/connections/${id}/force-disconnect`, body)).status).toBeLessThan(300);
    await client.waitFor('the force-disconnect', ({ type }) => type === 'force-disconnect');
    const message_id = await client.shakeHands();
    await client.waitFor('the refusal', ({ in_response_to }) => in_response_to === message_id);
    const refused = await until('offline', { offline_reason: 'refused' });
    // The retained handshake was refused, and does not count after the window either: the client must send another one.
    await untilTrue('the refusal window is over', () =>
      expect(Date.now()).toBeGreaterThan(Date.parse(refused.refused_until ?? '')),
    );
    await api.verify(id);
    await until('offline', { offline_reason: 'refused' });
    const handshake_message_id = await client.shakeHands();
    await until('online', { handshake_message_id });
    expect(client.distinct.filter(({ type }) => type === 'handshake-error')).toHaveLength(1);
  });

  it('is offline as unconfirmed after a kill of the broker, until it sends another handshake', async () => {
    const passive = await connect();
    const since = Date.now();
    await shakeHands(passive);
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
  });

  it('stays online after a kill of the broker if it returns before the lanes do', async () => {
    const since = Date.now();
    await shakeHands(await connect());
    await until('online');
    const gone = await TestClient.connect(detour.deviceUrl, `${id}-gone`);
    await gone.shakeHands();
    await api.untilConnection(`${id}-gone`, ({ state }) => state === 'online');
    const { port } = mosquitto;
    await untilSaved(since);
    await untilRestartCounts(since);
    process.kill(ingester.pid ?? 0, 'SIGSTOP');
    await mosquitto.kill();
    mosquitto = await startBroker(port);
    // No lane is connected: only the retained handshake shows that the client is back.
    const handshake_message_id = await shakeHands(await connect());
    process.kill(ingester.pid ?? 0, 'SIGCONT');
    await api.untilConnection(`${id}-gone`, ({ offline_reason }) => offline_reason === 'unconfirmed');
    await until('online', { handshake_message_id });
  });

  it('is offline after a kill of the broker that lost all retained messages, until it returns', async () => {
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
  });
});
