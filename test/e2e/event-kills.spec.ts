/** Processes are killed while clients read events: a reader that resumes with its cursor misses nothing without a `gap`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVENT_STREAM_NAMES, RegistryKeys, eventStreams } from '@app/registry';
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
});

afterAll(async () => {
  for (const client of crowd) client.vanish();
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Each client publishes a new handshake, which is an event. @returns the ids of the handshakes */
async function changeAll(): Promise<string[]> {
  const round = rounds++;
  return Promise.all(crowd.map((client) => client.shakeHands({ fqdn: `${client.id}-${round}.example.com` })));
}

/** Changes all clients again and again. @returns a function that ends it and returns the ids of the last handshakes */
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

/** All events in Redis, except those about members and dead letters, which only those get who name them. */
async function inLog(): Promise<AppendedEvent[]> {
  return onStore(store, async (redis) => {
    const events: AppendedEvent[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      for (const { key, name } of eventStreams(keys, shard)) {
        for (const [id, fields] of await redis.xrange(key, '-', '+')) {
          const { type = '', client_id = '' } = JSON.parse(fields[3] ?? '{}') as { type?: string; client_id?: string };
          if (name === 'dead-letters' || type.startsWith('member.')) continue;
          const stream = EVENT_STREAM_NAMES.find((one) => one === name) ?? 'state';
          events.push({ event_id: `${shard}-${id}`, shard, stream, client_id, n: Number(id.split('-')[0]) });
        }
      }
    }
    return events;
  });
}

/** The events that `act` adds to the log. */
async function added<T>(act: () => Promise<T>): Promise<AppendedEvent[]> {
  const before = new Set((await inLog()).map(({ event_id }) => event_id));
  await act();
  return (await inLog()).filter(({ event_id }) => !before.has(event_id));
}

function hasChanges(received: readonly SseEvent[], handshakes: readonly string[]): void {
  const got = received.map(({ data }) => data['handshake_message_id']);
  expect(got).toEqual(expect.arrayContaining([...handshakes]));
}

/** Expects all these events in order, and no gap. Earlier events, which a resume repeats, do not count. */
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
  return waitUntil(() => EventListener.open(gateway.url, {}, after), { what: 'the event stream is open' });
}

it('a reader resumes at the other gateway without a loss if its gateway is killed', async () => {
  const reader = await follow(gateways[0]);
  let rest = reader;
  const events = await added(async () => {
    const stop = changing();
    await reader.until('the reader has more than 50 events', () => expect(reader.received.length).toBeGreaterThan(50));
    await gateways[0].kill();
    await reader.until('the stream of the killed gateway has ended', () =>
      expect([reader.ended, reader.broken]).toContain(true),
    );
    rest = await follow(gateways[1], reader.lastId);
    const last = await stop();
    await rest.until('the reader has the last changes', () => hasChanges(rest.received, last));
  });
  gateways[0] = await startGateway('first-again');
  await rest.until('the reader has every event in order', () =>
    expectWhole([...reader.received, ...rest.received], events),
  );
  rest.close();
});

/**
 * Clients change while one of two readers leaves and `act` lets something fail; then the reader resumes at a gateway.
 * Expects that both readers get every event. @returns the events
 */
async function expectNoLoss(act: (leaving: EventListener) => Promise<void>, back: 0 | 1): Promise<AppendedEvent[]> {
  const follower = await follow(gateways[0]);
  const leaving = await follow(gateways[1]);
  let rest = leaving;
  const events = await added(async () => {
    const stop = changing();
    await leaving.until('the leaving reader has more than 50 events', () =>
      expect(leaving.received.length).toBeGreaterThan(50),
    );
    await act(leaving);
    const last = await stop();
    await follower.until('the follower has the last changes', () => hasChanges(follower.received, last));
    rest = await follow(gateways[back], leaving.lastId);
    await rest.until('the reader that came back has the last changes', () => hasChanges(rest.received, last));
  });
  await rest.until('the reader that came back has every event in order', () =>
    expectWhole([...leaving.received, ...rest.received], events),
  );
  await follower.until('the follower has every event in order', () => expectWhole(follower.received, events));
  for (const reader of [follower, rest]) reader.close();
  return events;
}

it('readers lose no event if the owner of the shards is killed', async () => {
  const events = await expectNoLoss(async (leaving) => {
    await ingester.kill();
    leaving.close();
    ingester = await startIngester('ingester-again');
  }, 0);
  expect(events.length).toBeGreaterThan(SHARDS);
});

it('readers lose no event if Redis restarts with its data', async () => {
  await expectNoLoss(async (leaving) => {
    leaving.close();
    await store.stop();
    await store.again();
  }, 1);
});

it('readers get a gap for every shard if Redis is emptied, and then all new events', async () => {
  const follower = await follow(gateways[0]);
  const leaving = await follow(gateways[1]);
  const lost = await added(async () => {
    const last = await changeAll();
    await leaving.until('the leaving reader has the changes', () => hasChanges(leaving.received, last));
    leaving.close();
    const missed = await changeAll();
    await follower.until('the follower has the changes', () => hasChanges(follower.received, missed));
  });
  await onEachMaster(store, (redis) => redis.flushall());
  const rest = await follow(gateways[1], leaving.lastId);
  const everyShard = Array.from({ length: SHARDS }, (_, shard) => shard);
  for (const reader of [follower, rest])
    await reader.until('the reader has a gap for every shard', () =>
      expect(gapsOf(reader.received)).toEqual(expect.arrayContaining(everyShard)),
    );
  expect(faultsIn([...leaving.received, ...rest.received], lost)).toEqual([]);
  expect(faultsIn(follower.received, lost)).toEqual([]);
  const last = await waitUntil(async () => {
    const handshakes = await changeAll();
    await rest.until('the reader has the changes after the loss', () => hasChanges(rest.received, handshakes));
    return handshakes;
  });
  await follower.until('the follower has the last changes', () => hasChanges(follower.received, last));
  const kept = await inLog();
  for (const reader of [follower, rest]) {
    await reader.until('the reader has every event that is kept', () =>
      expect(faultsIn(reader.received, kept)).toEqual([]),
    );
    reader.close();
  }
});
