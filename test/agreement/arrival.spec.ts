/**
 * The classic race, with real parts: of two lanes one is slow, so that a client's last will arrives behind the handshake
 * of the connection that followed. Taken as it arrives, the client would be offline for good.
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
import { TestClient } from '../support/mqtt-client.js';
import { Proxy } from '../support/proxy.js';

const SHARDS = 32;
/** The broker serves the lanes in turn, and a round takes five messages: every other one is the race. */
const MOST_ROUNDS = 4;

/** What subscribers are told where the handshake arrives first, and where the will does. */
const TOLD = [
  ['connection.online', 'connection.updated', 'connection.offline', 'connection.online'],
  ['connection.online', 'connection.offline', 'connection.online'],
];

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-arrival-'));
let redis: Redis;
let broker: Awaited<ReturnType<typeof startMosquitto>>;
/** Between the broker and the ingester whose lane is slow; it owns none of the clients' shards. */
let slow: Proxy;
let api: Api;
let quick: Awaited<ReturnType<typeof startApp>>;
let observer: MqttClient;
let wills: string[];

beforeAll(async () => {
  const [store, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  broker = mosquitto;
  redis = new Redis(store.url);
  slow = await Proxy.before(broker.port);
  const env = { REDIS_URL: store.url, MQTT_URL: broker.url, INTAKE_LANES: '2', EVENT_SETTLE: '0s' };
  const slowUrl = `mqtt://127.0.0.1:${slow.port}`;
  const [gateway, , owner] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env: { ...env, MQTT_URL: slowUrl }, name: 'slow' }),
    startApp('status-ingester', { dir, env, name: 'quick' }),
  ]);
  quick = owner;
  api = new Api(gateway.url);
  await waitUntil(async () => {
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
}, 60_000);

afterAll(async () => {
  redis.disconnect();
  await observer.endAsync(true);
  await stopAll();
  await slow.stop();
  rmSync(dir, { recursive: true });
}, 30_000);

async function cluster(): Promise<ClusterBody> {
  return (await api.call<ClusterBody>('GET', '/v1/cluster')).body;
}

/** Client ids whose shards the quick ingester owns, so that only the lane is slow. */
async function clientIds(): Promise<string[]> {
  const log = readFileSync(join(dir, 'quick.log'), 'utf8');
  const owned = (await cluster()).shards.filter(({ owner }) => owner !== null && log.includes(`"${owner}"`));
  const shards = new Set(owned.map(({ shard }) => shard));
  expect(shards.size).toBe(SHARDS / 2);
  return Array.from({ length: 100 }, (_, i) => `racer-${i}`).filter((id) => shards.has(shardOf(id, SHARDS)));
}

/** What subscribers were told of the client, in order. */
async function told(id: string): Promise<string[]> {
  const entries = await redis.xrange(`cc:{s${shardOf(id, SHARDS)}}:events`, '-', '+');
  return entries
    .map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as { client_id: string; type: string })
    .filter(({ client_id }) => client_id === id)
    .map(({ type }) => type);
}

async function corrected(): Promise<number> {
  const metrics = await (await fetch(`${quick.url}/metrics`)).text();
  return Number(/^cloud_connector_verifications_total\{outcome="corrected"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/** @returns whether the handshake arrived before the will. */
async function round(id: string): Promise<boolean> {
  const before = await corrected();
  const client = await TestClient.connect(broker.url, id);
  const first = await client.shakeHands();
  await api.untilConnection(id, (it) => it.handshake_message_id === first);
  slow.silence();
  client.vanish();
  await waitUntil(() => expect(wills).toContain(id));
  const again = await TestClient.connect(broker.url, id);
  const second = await again.shakeHands({ fqdn: 'another' });
  await api.untilConnection(id, (it) => it.handshake_message_id === second || it.state === 'offline');
  slow.heal();
  const events = await waitUntil(async () => {
    const types = await told(id);
    if (!TOLD.some((all) => all.every((type, i) => type === types[i]))) throw new Error(`told ${types.join()}`);
    return types;
  });
  await api.untilConnection(id, (it) => it.state === 'online' && it.handshake_message_id === second);
  const raced = events[1] === 'connection.updated';
  // As it arrived it said offline, as subscribers were told; a verification put it right.
  if (raced) await waitUntil(async () => expect(await corrected()).toBeGreaterThan(before));
  await again.sayGoodbye();
  return raced;
}

it('a last will that arrives behind the next handshake makes a wrong state, which a verification puts right', async () => {
  let raced = false;
  for (const id of (await clientIds()).slice(0, MOST_ROUNDS)) {
    raced = await round(id);
    if (raced) break;
  }
  expect(raced).toBe(true);
}, 120_000);
