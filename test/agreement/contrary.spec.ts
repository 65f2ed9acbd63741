/**
 * One scenario behind each behaviour of the contrary broker. Devices connect and are verified; one removes its handshake, one
 * vanishes, one vanishes and returns; messages are sent and a sweep runs, all at the same time. At the end the registry equals
 * what the broker retains, client by client, and no event says that a device is offline whose connection has not ended.
 * `npm run test:repeat -- contrary 1` runs the whole suite behind each behaviour.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { acknowledgementsLost, noSubscribersHidden } from '../support/contrary/acknowledgements.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { SENTINEL, STATUS_FILTER } from '../support/contrary/catalogue.js';
import { FLASHMQ_LIMITS, HIVEMQ_LIMITS, granted, refusedConnects } from '../support/contrary/connects.js';
import { dupDropped, newPacketIds } from '../support/contrary/redelivery.js';
import { RetainedHistory } from '../support/contrary/retained-late.js';
import { dropsInMidRead, lostRetained, pausesInMidRead } from '../support/contrary/retained-losses.js';
import { randomOrder, sentinelFirst } from '../support/contrary/retained-order.js';
import { silentAfter } from '../support/contrary/shared-subscriptions.js';
import { IngesterApp } from '../support/ingester-app.js';
import { Random, seedOfRun } from '../support/random.js';
import { quiet } from '../support/servers.js';
import { Devices } from './contrary-devices.js';
import { differences } from './retained-store.js';

const LANES = 2;
/** Shorter than the time between the two reads that prove an absence. */
const LAG_MS = 300;
/** How soon a silent lane is connected again. */
const LANE_TIMING = { everyMs: 100, returnMs: 1000, quietMs: 60_000, longestQuietMs: 300_000 };

const UUID = /-[0-9a-f]{8}-[0-9a-f-]{27}$/;

const seed = seedOfRun();
const random = new Random(seed);
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-contrary-'));
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
/** Between the apps and Mosquitto, and between the devices and Mosquitto. */
let contrary: ContraryBroker;
let beforeDevices: ContraryBroker;
let history: RetainedHistory;
let redis: Redis;
let ingester: IngesterApp;
let api: Api;
let devices: Devices | undefined;

beforeAll(async () => {
  const [store, broker] = await Promise.all([startRedis({ dir }), startBroker()]);
  mosquitto = broker;
  redis = new Redis(store.url);
  contrary = await ContraryBroker.before(mosquitto.port);
  beforeDevices = await ContraryBroker.before(mosquitto.port);
  history = await RetainedHistory.of(mosquitto.url, STATUS_FILTER, LAG_MS);
  const env = { REDIS_URL: store.url, MQTT_URL: contrary.url, INTAKE_LANES: `${LANES}`, EVENT_SETTLE: '0s' };
  const [gateway, , one] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('dispatcher', { dir, env }),
    IngesterApp.start(env, quiet, LANE_TIMING),
  ]);
  api = new Api(gateway.url);
  ingester = one;
}, 60_000);

afterEach(async () => {
  await devices?.end();
  beforeDevices.behave();
});

afterAll(async () => {
  await ingester.stop();
  redis.disconnect();
  await history.stop();
  await stopAll();
  await Promise.all([contrary.stop(), beforeDevices.stop()]);
  rmSync(dir, { recursive: true });
}, 60_000);

function startBroker(port?: number): ReturnType<typeof startMosquitto> {
  return startMosquitto({ dir, persist: true, ...(port !== undefined && { port }) });
}

/** Other connections of the apps, such as those that check the broker, do not meet this behaviour. */
function onLanes(behaviour: Behaviour): Behaviour {
  return (link) => (link.clientId.includes('-lane-') ? behaviour(link) : {});
}

/** All connections of the apps begin again, with these behaviours. */
function behave(...behaviours: readonly Behaviour[]): void {
  contrary.behave(...behaviours);
  contrary.cut();
}

async function verify(id: string): Promise<void> {
  const path = `/v1/connections/${id}/verify`;
  await waitUntil(
    async () => {
      const { status, body } = await api.call('POST', path);
      if (status === 503) throw new Error('a read failed, and the request is to be repeated');
      expect({ status, body }).toMatchObject({ status: 200, body: { state: 'online', changed: false } });
    },
    { what: `the verification of ${id}` },
  );
}

async function sweep(): Promise<SweepBody> {
  const { body: requested } = await api.call<{ sweep_id: string }>('POST', '/v1/cluster/sweeps');
  const path = `/v1/cluster/sweeps/${requested.sweep_id}`;
  return waitUntil(
    async () => {
      const { body } = await api.call<{ sweep: SweepBody | null }>('GET', path);
      if (body.sweep?.state !== 'ended') throw new Error(JSON.stringify(body));
      return body.sweep;
    },
    { what: 'the sweep to end', timeoutMs: 30_000 },
  );
}

async function untilEqual({ ids }: Devices): Promise<void> {
  await waitUntil(async () => expect(await differences(mosquitto.url, api.url, ids, LANES)).toEqual([]), {
    what: `registry and broker to be equal (seed ${seed})`,
  });
}

/** Plays the scenario behind a behaviour that has begun. */
async function play(name: string): Promise<Devices> {
  const all = (devices = new Devices(beforeDevices.url, api, name));
  await all.connect();
  await all.untilOnline();
  const [verified, updated] = [all.staying.slice(0, 4), all.staying.slice(4, 7)];
  const [swept] = await Promise.all([
    sweep(),
    all.leave(),
    all.receive(),
    ...verified.map(verify),
    ...updated.map((id) => all.shakeHands(id)),
  ]);
  expect(swept).toMatchObject({ complete: true });
  await untilRight(all);
  // No sweep brings these: the lanes do.
  await untilRight(all);
  return all;
}

/** Those that stay send another handshake, and everything becomes equal. */
async function untilRight(all: Devices): Promise<void> {
  await Promise.all(all.staying.map((id) => all.shakeHands(id)));
  await all.untilOnline([...all.staying, all.returning]);
  await untilEqual(all);
  expect(await all.wronglyOffline(redis)).toEqual([]);
}

describe(`behind a broker that is contrary (seed ${seed}), the registry is right and nobody is offline wrongly, if it`, () => {
  it.each<[string, string, () => readonly Behaviour[]]>([
    ['sends the sentinel first', 'sentinel-first', () => [sentinelFirst]],
    ['sends retained messages in random order', 'random-order', () => [randomOrder(random)]],
    ['loses the sentinel twice', 'sentinel-lost', () => [lostRetained(SENTINEL, 2)]],
    ['hides that a message has no subscribers', 'no-subscribers-hidden', () => [noSubscribersHidden]],
    ['delivers retained messages before they are readable', 'retained-late', () => [history.late]],
    ['pauses in the middle of a read', 'retained-pauses', () => [pausesInMidRead(500, 2)]],
    ['drops messages in the middle of a read', 'retained-drops', () => [dropsInMidRead(5, random)]],
  ])('%s', async (_, name, behaviours) => {
    behave(...behaviours());
    await play(name);
  });

  it.each([
    ['HiveMQ', HIVEMQ_LIMITS],
    ['FlashMQ', FLASHMQ_LIMITS],
  ])('has the limits of %s', async (name, limits) => {
    behave(granted(limits));
    beforeDevices.behave(granted(limits));
    await play(name);
  });

  it('redelivers without DUP and under new packet ids', async () => {
    const redelivering = [dupDropped, newPacketIds(random)];
    beforeDevices.behave(...redelivering);
    behave(
      acknowledgementsLost((clientId) => clientId.includes('-lane-')),
      ...redelivering,
    );
    const all = await play('new-packet-ids');
    const before = await ingester.counter('intake_messages_total');
    behave(...redelivering);
    await waitUntil(
      async () => expect((await ingester.counter('intake_messages_total')) - before).toBeGreaterThan(all.ids.length),
      { what: 'the messages of the devices to come again' },
    );
    await untilRight(all);
  });

  it('refuses connections for a while', async () => {
    const refusals = new Map<string, number>();
    let isRefusing = true;
    behave(
      refusedConnects((clientId) => {
        const kind = clientId.replace(UUID, '');
        if (isRefusing) refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
        return isRefusing;
      }),
    );
    await waitUntil(
      () => {
        // No lane connects while the check of the broker is refused. Each check has another client id.
        for (const kind of ['dispatcher', 'ingester', 'ingester-watch', 'ingester-check'])
          expect(refusals.get(kind) ?? 0).toBeGreaterThan(1);
      },
      { what: 'all apps to be refused twice' },
    );
    isRefusing = false;
    await play('refused-connects');
  });

  it('falls silent on the shared subscription of a lane', async () => {
    const stalls = await ingester.counter('lane_stalls_total');
    behave(onLanes(silentAfter(3, 2)));
    await play('silent-filter');
    expect(await ingester.counter('lane_stalls_total')).toBeGreaterThan(stalls);
  });

  it('was restarted, and verifies a client at the first request', async () => {
    behave();
    const all = (devices = new Devices(beforeDevices.url, api, 'restarted'));
    await all.connect();
    await all.untilOnline();
    const [id = ''] = all.staying;
    await verify(id);
    const { port } = mosquitto;
    await mosquitto.stop();
    mosquitto = await startBroker(port);
    await all.connect();
    await all.untilOnline();
    expect(await api.call('POST', `/v1/connections/${id}/verify`)).toMatchObject({ status: 200 });
    await untilEqual(all);
  });
});
