/**
 * A broker whose sentinel comes before what was asked for earlier, so that no read proves an absence, and that loses the message of
 * one client: nobody goes offline by it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { lostRetained } from '../support/contrary/retained-losses.js';
import { sentinelAlwaysFirst } from '../support/contrary/retained-order.js';
import { TestClient, envelope } from '../support/mqtt-client.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-unproven-'));
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let contrary: ContraryBroker;
let api: Api;
let device: TestClient;

beforeAll(async () => {
  const [store, broker] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  mosquitto = broker;
  contrary = await ContraryBroker.before(
    mosquitto.port,
    sentinelAlwaysFirst,
    lostRetained('redhat/insights/in/device'),
  );
  const env = { REDIS_URL: store.url, MQTT_URL: contrary.url };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env, name: 'ingester' }),
  ]);
  api = new Api(gateway.url);
  device = await TestClient.connect(mosquitto.url, 'device');
});

afterAll(async () => {
  await device.mqtt.endAsync(true);
  await stopAll();
  await contrary.stop();
  rmSync(dir, { recursive: true });
});

it('a verification and a sweep leave a connected device online, and its goodbye takes it offline', async () => {
  const id = await device.shakeHands();
  await api.untilConnection('device', ({ state }) => state === 'online');
  const verified = await api.verify('device');
  expect(verified).toMatchObject({
    status: 200,
    body: { client_id: 'device', state: 'online', offline_reason: null, changed: false, outcome: 'unproven' },
  });
  await api.sweep(40_000);
  const after = await api.call('GET', '/v1/connections/device');
  expect(after.body).toMatchObject({ state: 'online', handshake_message_id: id });
  const log = readFileSync(join(dir, 'ingester.log'), 'utf8');
  expect(log).toContain('this broker cannot prove that it retains nothing for a client');
  await device.publish(envelope('offline'), false);
  await device.publish('', true);
  await api.untilConnection(
    'device',
    ({ state, offline_reason }) => state === 'offline' && offline_reason === 'goodbye',
  );
});
