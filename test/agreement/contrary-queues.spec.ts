/**
 * Brokers with the limits of HiveMQ and FlashMQ: what is published beyond the queue of a lane that is away is acknowledged, and lost.
 * The registry becomes equal to what the broker retains nevertheless, and a device that stays connected is never offline.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectAsync } from 'mqtt';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { BROKER_CONFIG, behavioursOf } from '../support/contrary/catalogue.js';
import { counterOf } from '../support/ingester-app.js';
import { TestClient, handshakeOf } from '../support/mqtt-client.js';
import { Random } from '../support/random.js';
import { storedEvents } from '../support/stored-events.js';
import { differences } from './retained-store.js';

const SHARDS = 32;
/** More than the lane's connection has in flight. */
const BEYOND = 200;

/** No more publishes at a time than HiveMQ grants: MQTT.js does not look at that. */
const AT_A_TIME = 10;

type Retain = (ids: readonly string[], textFor: (id: string) => string) => Promise<void>;

let dir: string;
/** What a test has started, in the order of its end. */
let endings: (() => unknown)[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cloud-connector-queues-'));
  endings = [];
});

afterEach(async () => {
  for (const end of endings) await end();
  await stopAll();
  rmSync(dir, { recursive: true });
});

function named(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name}-${i}`);
}

async function publisherTo(url: string): Promise<Retain> {
  const mqtt = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 });
  endings.push(() => mqtt.endAsync(true));
  return async (ids, textFor) => {
    for (let from = 0; from < ids.length; from += AT_A_TIME)
      await Promise.all(
        ids
          .slice(from, from + AT_A_TIME)
          .map((id) => mqtt.publishAsync(`redhat/insights/in/${id}`, textFor(id), { qos: 1, retain: true })),
      );
  };
}

it.each([
  ['hivemq-limits', 1000],
  ['flashmq-limits', 512],
] as const)(
  'behind %s, the lane gets %i messages of those that came while no ingester ran, and a sweep repairs the others',
  async (name, limit) => {
    const [store, mosquitto] = await Promise.all([
      startRedis({ dir }),
      startMosquitto({ dir, config: [...(BROKER_CONFIG[name] ?? [])] }),
    ]);
    const contrary = await ContraryBroker.before(mosquitto.port);
    endings.push(() => contrary.stop());
    contrary.behave(...(await behavioursOf(name, new Random(0), mosquitto.url)).behaviours);
    const env = { REDIS_URL: store.url, MQTT_URL: contrary.url, EVENT_SETTLE: '0s' };
    const [gateway, before] = await Promise.all([
      startApp('api-gateway', { dir, env }),
      startApp('status-ingester', { dir, env, name: 'before' }),
    ]);
    const api = new Api(gateway.url);
    await api.untilBuilt();
    const [leaving, coming] = [named('leaves', BEYOND), named('comes', limit)];
    const staying = await TestClient.connect(contrary.url, 'stays');
    endings.unshift(() => staying.mqtt.endAsync(true));
    const retain = await publisherTo(contrary.url);
    await Promise.all([staying.shakeHands(), retain(leaving, handshakeOf)]);
    const untilEqual = (): Promise<void> =>
      waitUntil(
        async () => expect(await differences(mosquitto.url, api.url, [...leaving, ...coming, staying.id])).toEqual([]),
        { what: 'registry and broker to be equal', everyMs: 250 },
      );
    await untilEqual();
    await before.stop();

    await retain(coming, handshakeOf);
    // The queue is full.
    await Promise.all([staying.shakeHands(), retain(leaving, () => '')]);
    const after = await startApp('status-ingester', { dir, env, name: 'after' });
    expect((await api.call('POST', '/v1/cluster/sweeps')).status).toBe(202);
    await untilEqual();
    const received = await waitUntil(
      async () => {
        const count = await counterOf(after.url, 'intake_messages_total');
        expect(count).toBeGreaterThanOrEqual(limit);
        return count;
      },
      { what: 'the lane to get what the broker has kept' },
    );
    expect(received).toBeLessThan(limit + BEYOND);
    const redis = new Redis(store.url);
    endings.push(() => redis.disconnect());
    const events = await storedEvents(redis, staying.id, SHARDS);
    expect(events.filter(({ type }) => type === 'connection.offline')).toEqual([]);
  },
);
