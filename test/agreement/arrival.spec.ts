/**
 * The classic race with real parts: one of two lanes is slow, so that the last will of a client arrives after the handshake
 * of its next connection. If only the order of arrival counted, the client would be offline forever.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectAsync, type MqttClient } from 'mqtt';
import { shardOf } from '@app/protocol';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { ClusterBody } from '../../apps/api-gateway/src/cluster/cluster.dto.js';
import { Api } from '../support/api.js';
import { CONTRARY_CONFIG, Detour } from '../support/contrary/detour.js';
import { TestClient } from '../support/mqtt-client.js';
import { Proxy } from '../support/proxy.js';
import { storedEvents } from '../support/stored-events.js';

const SHARDS = 32;
/** The broker serves the lanes in turn, and a client sends five messages in a round: the race happens in every second round. */
const MAX_ROUNDS = 4;

/** The events of a client if its second handshake arrives first, and if its will does. */
const EVENT_TYPES = [
  ['connection.online', 'connection.updated', 'connection.offline', 'connection.online'],
  ['connection.online', 'connection.offline', 'connection.online'],
];

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-arrival-'));
let redis: Redis;
let broker: Awaited<ReturnType<typeof startMosquitto>>;
let detour: Detour;
/** Between the broker and the ingester with the slow lane; that ingester owns no shard of a client of the test. */
let slowLink: Proxy;
let api: Api;
let fastIngester: Awaited<ReturnType<typeof startApp>>;
let observer: MqttClient;
let wills: string[];

beforeAll(async () => {
  const [store, mosquitto] = await Promise.all([
    startRedis({ dir }),
    startMosquitto({ dir, config: [...CONTRARY_CONFIG] }),
  ]);
  broker = mosquitto;
  redis = new Redis(store.url);
  detour = await Detour.before(broker);
  slowLink = await Proxy.before(detour.port);
  const env = { REDIS_URL: store.url, MQTT_URL: detour.appUrl, INTAKE_LANES: '2', EVENT_SETTLE: '0s' };
  const slowUrl = `mqtt://127.0.0.1:${slowLink.port}`;
  const [gateway, , owner] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env: { ...env, MQTT_URL: slowUrl }, name: 'slow' }),
    startApp('status-ingester', { dir, env, name: 'fast' }),
  ]);
  fastIngester = owner;
  api = new Api(gateway.url);
  await untilTrue('each ingester owns one lane and half of the shards', async () => {
    const { members } = await cluster();
    expect(members.map(({ shards, lanes }) => [shards, lanes])).toEqual([
      [SHARDS / 2, 1],
      [SHARDS / 2, 1],
    ]);
  });
  wills = [];
  observer = await connectAsync(broker.url);
  observer.on('message', (topic, data) => {
    if (data.toString().includes('"offline"')) wills.push(topic.slice(topic.lastIndexOf('/') + 1));
  });
  await observer.subscribeAsync('redhat/insights/in/+', { qos: 1 });
});

afterAll(async () => {
  redis.disconnect();
  await observer.endAsync(true);
  await stopAll();
  await slowLink.stop();
  await detour.stop();
  rmSync(dir, { recursive: true });
});

/** Looks less often than `eventually`: leases, verifications and events take their time. */
function untilTrue<T>(what: string, check: () => T | Promise<T>): Promise<T> {
  return waitUntil(check, { what });
}

async function cluster(): Promise<ClusterBody> {
  return (await api.call<ClusterBody>('GET', '/v1/cluster')).body;
}

/** Client ids whose shards the fast ingester owns, so that only the lane is slow. */
async function clientIds(): Promise<string[]> {
  const log = readFileSync(join(dir, 'fast.log'), 'utf8');
  const owned = (await cluster()).shards.filter(({ owner }) => owner !== null && log.includes(`"${owner}"`));
  const shards = new Set(owned.map(({ shard }) => shard));
  expect(shards.size).toBe(SHARDS / 2);
  return Array.from({ length: 100 }, (_, i) => `racer-${i}`).filter((id) => shards.has(shardOf(id, SHARDS)));
}

/** The types of the events about a client, in order. */
async function eventTypes(id: string): Promise<string[]> {
  return (await storedEvents(redis, id, SHARDS)).map(({ type }) => type);
}

async function correctedVerifications(): Promise<number> {
  const metrics = await (await fetch(`${fastIngester.url}/metrics`)).text();
  return Number(/^cloud_connector_verifications_total\{outcome="corrected"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/** @returns whether the second handshake arrived before the will */
async function playRound(id: string): Promise<boolean> {
  const before = await correctedVerifications();
  const client = await TestClient.connect(detour.deviceUrl, id);
  const first = await client.shakeHands();
  await api.untilConnection(id, (it) => it.handshake_message_id === first);
  slowLink.silence();
  client.vanish();
  await untilTrue('the broker publishes the will', () => expect(wills).toContain(id));
  const again = await TestClient.connect(detour.deviceUrl, id);
  const second = await again.shakeHands({ fqdn: 'another' });
  await api.untilConnection(id, (it) => it.handshake_message_id === second || it.state === 'offline');
  slowLink.heal();
  const events = await untilTrue('all events of the client are emitted', async () => {
    const types = await eventTypes(id);
    const isComplete = EVENT_TYPES.some((expected) => expected.every((type, i) => type === types[i]));
    if (!isComplete) throw new Error(`emitted so far: ${types.join()}`);
    return types;
  });
  await api.untilConnection(id, (it) => it.state === 'online' && it.handshake_message_id === second);
  const raced = events[1] === 'connection.updated';
  // In the order of arrival the client was offline, as the events say; a verification has corrected that.
  if (raced) {
    await untilTrue('a verification has corrected the state', async () =>
      expect(await correctedVerifications()).toBeGreaterThan(before),
    );
  }
  await again.sayGoodbye();
  return raced;
}

describe('a last will that arrives after the next handshake of its client', () => {
  it('takes the client offline, until a verification corrects the state', async () => {
    let raced = false;
    for (const id of (await clientIds()).slice(0, MAX_ROUNDS)) {
      raced = await playRound(id);
      if (raced) break;
    }
    expect(raced).toBe(true);
  });
});
