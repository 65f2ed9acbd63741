/** What is killed beneath a reader of the events: one that resumes by its cursor misses nothing without a `gap`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RegistryKeys, eventStreams } from '@app/registry';
import { startApp, startMosquitto, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { EventListener, type SseEvent } from '../support/event-listener.js';
import { faultsIn, type AppendedEvent } from '../support/event-log.js';
import { TestClient } from '../support/mqtt-client.js';
import { onEachMaster, onStore, startStore, type Store } from '../support/store.js';

type App = Awaited<ReturnType<typeof startApp>>;

const SHARDS = 8;
const CLIENTS = 12;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-event-kills-'));
const keys = new RegistryKeys('cc');
let store: Store;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let gateways: [App, App];
let ingester: App;
let crowd: TestClient[];
let rounds = 0;

function env(): Record<string, string> {
  return {
    ...{ REDIS_URL: store.url, MQTT_URL: mosquitto.url, SHARD_COUNT: `${SHARDS}` },
    ...{ LEASE_TIME: '2s', EVENT_SETTLE: '0s', EVENT_HEARTBEAT: '200ms' },
  };
}

const startGateway = (name: string): Promise<App> => startApp('api-gateway', { dir, name, env: env() });
const startIngester = (name: string): Promise<App> => startApp('status-ingester', { dir, name, env: env() });

beforeAll(async () => {
  store = await startStore(dir);
  mosquitto = await startMosquitto({ dir });
  const started = await Promise.all([startGateway('first'), startGateway('second'), startIngester('ingester')]);
  gateways = [started[0], started[1]];
  ingester = started[2];
  const ids = Array.from({ length: CLIENTS }, (_, i) => `kills-${i}`);
  crowd = await Promise.all(ids.map((id) => TestClient.connect(mosquitto.url, id)));
  await changeAll();
  const api = new Api(gateways[1].url);
  for (const id of ids) await api.untilConnection(id, ({ state }) => state === 'online');
}, 60_000);

afterAll(async () => {
  for (const client of crowd) client.vanish();
  await stopAll();
  rmSync(dir, { recursive: true });
}, 30_000);

/** Each client changes, which is an event. @returns what its handshakes are called */
async function changeAll(): Promise<string[]> {
  const round = rounds++;
  return Promise.all(crowd.map((client) => client.shakeHands({ fqdn: `${client.id}-${round}.example.com` })));
}

/** Has clients change until it is called again. @returns what the last handshakes are called */
function changing(): () => Promise<string[]> {
  const over = new AbortController();
  const run = async (): Promise<string[]> => {
    let last: string[] = [];
    while (!over.signal.aborted) last = await changeAll();
    return last;
  };
  const running = run();
  return async () => {
    over.abort();
    await running;
    return changeAll();
  };
}

/** All events that Redis has. */
async function inLog(): Promise<AppendedEvent[]> {
  return onStore(store, async (redis) => {
    const events: AppendedEvent[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      for (const { key, name } of eventStreams(keys, shard)) {
        for (const [id, fields] of await redis.xrange(key, '-', '+')) {
          const { client_id = '' } = JSON.parse(fields[3] ?? '{}') as { client_id?: string };
          const stream = name === 'state' ? 'state' : 'refusals';
          events.push({ event_id: `${shard}-${id}`, shard, stream, client_id, n: Number(id.split('-')[0]) });
        }
      }
    }
    return events;
  });
}

/** What `act` adds to the log. */
async function added<T>(act: () => Promise<T>): Promise<AppendedEvent[]> {
  const before = new Set((await inLog()).map(({ event_id }) => event_id));
  await act();
  return (await inLog()).filter(({ event_id }) => !before.has(event_id));
}

function hasChanges(received: readonly SseEvent[], handshakes: readonly string[]): void {
  const got = received.map(({ data }) => data['handshake_message_id']);
  expect(got).toEqual(expect.arrayContaining([...handshakes]));
}

/** Expects all these events in their order, and no gap. What a resume repeats from before them does not count. */
function expectWhole(received: readonly SseEvent[], events: readonly AppendedEvent[]): void {
  const ids = new Set<unknown>(events.map(({ event_id }) => event_id));
  expect(
    faultsIn(
      received.filter(({ data }) => ids.has(data['event_id'])),
      events,
    ),
  ).toEqual([]);
  expect(gapsOf(received)).toEqual([]);
}

function gapsOf(received: readonly SseEvent[]): unknown[] {
  return received.filter(({ event }) => event === 'gap').map(({ data }) => data['shard']);
}

async function follow(gateway: App, after?: string): Promise<EventListener> {
  return waitUntil(() => EventListener.open(gateway.url, {}, after), { what: 'an event stream' });
}

it('the gateway is killed', async () => {
  const reader = await follow(gateways[0]);
  let rest = reader;
  const events = await added(async () => {
    const stop = changing();
    await reader.until(() => expect(reader.received.length).toBeGreaterThan(50));
    await gateways[0].kill();
    await reader.until(() => expect([reader.ended, reader.broken]).toContain(true));
    rest = await follow(gateways[1], reader.lastId);
    const last = await stop();
    await rest.until(() => hasChanges(rest.received, last));
  });
  gateways[0] = await startGateway('first-again');
  await rest.until(() => expectWhole([...reader.received, ...rest.received], events));
  rest.close();
});

/**
 * Clients change while `act` has one of two readers leave and something fail beneath both; then it comes back to a gateway.
 * Expects that each of them gets all of it. @returns what the log has of it
 */
async function survived(act: (leaving: EventListener) => Promise<void>, back: 0 | 1): Promise<AppendedEvent[]> {
  const follower = await follow(gateways[0]);
  const leaving = await follow(gateways[1]);
  let rest = leaving;
  const events = await added(async () => {
    const stop = changing();
    await leaving.until(() => expect(leaving.received.length).toBeGreaterThan(50));
    await act(leaving);
    const last = await stop();
    await follower.until(() => hasChanges(follower.received, last));
    rest = await follow(gateways[back], leaving.lastId);
    await rest.until(() => hasChanges(rest.received, last));
  });
  await rest.until(() => expectWhole([...leaving.received, ...rest.received], events));
  await follower.until(() => expectWhole(follower.received, events));
  for (const reader of [follower, rest]) reader.close();
  return events;
}

it('the owner of the shards is killed', async () => {
  const events = await survived(async (leaving) => {
    await ingester.kill();
    leaving.close();
    ingester = await startIngester('ingester-again');
  }, 0);
  expect(events.length).toBeGreaterThan(SHARDS);
});

it('Redis restarts with its data', async () => {
  await survived(async (leaving) => {
    leaving.close();
    await store.stop();
    await store.again();
  }, 1);
});

it('Redis is emptied', async () => {
  const follower = await follow(gateways[0]);
  const leaving = await follow(gateways[1]);
  const lost = await added(async () => {
    const last = await changeAll();
    await leaving.until(() => hasChanges(leaving.received, last));
    leaving.close();
    const missed = await changeAll();
    await follower.until(() => hasChanges(follower.received, missed));
  });
  await onEachMaster(store, (redis) => redis.flushall());
  const rest = await follow(gateways[1], leaving.lastId);
  const everyShard = Array.from({ length: SHARDS }, (_, shard) => shard);
  for (const reader of [follower, rest])
    await reader.until(() => expect(gapsOf(reader.received)).toEqual(expect.arrayContaining(everyShard)));
  expect(faultsIn([...leaving.received, ...rest.received], lost)).toEqual([]);
  expect(faultsIn(follower.received, lost)).toEqual([]);
  const last = await waitUntil(async () => {
    const handshakes = await changeAll();
    await rest.until(() => hasChanges(rest.received, handshakes));
    return handshakes;
  });
  await follower.until(() => hasChanges(follower.received, last));
  const kept = await inLog();
  for (const reader of [follower, rest]) {
    await reader.until(() => expect(faultsIn(reader.received, kept)).toEqual([]));
    reader.close();
  }
});
