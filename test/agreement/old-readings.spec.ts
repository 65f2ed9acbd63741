/**
 * A broker whose reads bring texts of up to 300 ms before, or do not find what was retained since: devices come and go quickly while
 * sweeps run and they are verified over and over. One lane keeps the order of their messages, so no reading has anything to correct.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { RetainedHistory } from '../support/contrary/retained-late.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { Random, seedOfRun } from '../support/random.js';
import { storedEvents } from '../support/stored-events.js';
import { differences } from './retained-store.js';

const SHARDS = 4;
const LAG_MS = 300;
const DEVICES = 6;
const ACTS = 40;
const seed = seedOfRun();

type Act = 'handshake' | 'goodbye' | 'offline';

/** Comes and goes over one connection, and notes the events that this should emit. */
class Device {
  readonly events: string[] = [];
  private isOnline = false;

  constructor(
    private readonly client: TestClient,
    private readonly random: Random,
  ) {}

  get id(): string {
    return this.client.id;
  }

  async act(): Promise<void> {
    const act: Act = this.isOnline ? this.random.pick(['handshake', 'goodbye', 'offline', 'offline']) : 'handshake';
    if (act === 'handshake') await this.client.shakeHands();
    if (act === 'offline') await this.client.publish(envelope('offline'), true);
    if (act === 'goodbye') {
      await this.client.publish(envelope('offline'), false);
      await this.client.publish('', true);
    }
    const isOnline = act === 'handshake';
    if (isOnline !== this.isOnline) this.events.push(isOnline ? 'connection.online' : 'connection.offline');
    this.isOnline = isOnline;
  }
}

describe.each(['late', 'stale'] as const)('a broker whose reads are %s', (behaviour) => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-old-readings-'));
  let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
  let contrary: ContraryBroker;
  let history: RetainedHistory;
  let redis: Redis;
  let api: Api;
  const clients: TestClient[] = [];

  beforeAll(async () => {
    const [store, broker] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
    mosquitto = broker;
    redis = new Redis(store.url);
    history = await RetainedHistory.of(mosquitto.url, 'redhat/insights/in/+', LAG_MS);
    contrary = await ContraryBroker.before(mosquitto.port, history[behaviour]);
    const env = {
      ...{ REDIS_URL: store.url, MQTT_URL: contrary.url, SHARD_COUNT: `${SHARDS}` },
      ...{ EVENT_SETTLE: '0s', COMMAND_TIMEOUT: '3s', LOG_LEVEL: 'warn' },
    };
    const [gateway] = await Promise.all([
      startApp('api-gateway', { dir, env }),
      startApp('status-ingester', { dir, env }),
    ]);
    api = new Api(gateway.url);
  });

  afterAll(async () => {
    await Promise.all(clients.map(({ mqtt }) => mqtt.endAsync(true)));
    redis.disconnect();
    await stopAll();
    await history.stop();
    await contrary.stop();
    rmSync(dir, { recursive: true });
  });

  async function connect(id: string): Promise<TestClient> {
    const client = await TestClient.connect(mosquitto.url, id);
    clients.push(client);
    return client;
  }

  /** A device that moves too fast gets no answer in time. */
  async function verify(id: string): Promise<void> {
    const { status } = await api.call('POST', `/v1/connections/${id}/verify`);
    expect([200, 404, 503]).toContain(status);
  }

  async function eventTypes(id: string): Promise<string[]> {
    return (await storedEvents(redis, id, SHARDS)).map(({ type }) => type);
  }

  it(`takes no connected device offline, and brings none online that has left (seed ${seed})`, async () => {
    const steady = await connect('steady');
    await steady.shakeHands();
    const devices = await Promise.all(
      Array.from({ length: DEVICES }, async (_, i) => new Device(await connect(`moving-${i}`), new Random(seed + i))),
    );
    let isOver = false;
    const again = async (act: () => Promise<unknown>): Promise<void> => {
      while (!isOver) await act();
    };
    const observers = [
      ...devices.map(({ id }) => again(() => verify(id))),
      again(() => api.call('POST', '/v1/cluster/sweeps').then(() => verify('steady'))),
    ];
    // Some acts come at once after the one before, others when a reading of another client has ended.
    const moves = devices.map(async (device, i) => {
      const random = new Random(seed - i - 1);
      for (let n = 0; n < ACTS; n++) {
        await device.act();
        if (random.below(2) === 0) await verify('steady');
      }
    });
    await Promise.all(moves);
    isOver = true;
    await Promise.all(observers);
    await waitUntil(
      async () => {
        const found = await differences(
          mosquitto.url,
          api.url,
          devices.map(({ id }) => id),
        );
        if (found.length > 0) throw new Error(found.join('\n'));
      },
      { what: 'registry and broker to be equal' },
    );
    for (const { id, events } of devices) expect({ id, events: await eventTypes(id) }).toEqual({ id, events });
    expect(await eventTypes('steady')).toEqual(['connection.online']);
  });
});
