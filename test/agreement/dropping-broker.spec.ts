/**
 * A Mosquitto that drops messages of a read because its queues are limited, and one that grants a SUBSCRIBE and lets nothing be
 * read. A missing message proves nothing there: nobody goes offline by it, and no sweep counts as complete.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type ConnectionView } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';

/** Mosquitto sends some 30 handshakes of this size, and drops the others. */
const FACTS = { fqdn: 'large.example.com', notes: 'x'.repeat(3000) };
const CLIENTS = 300;
const LIMITS = ['max_queued_messages 10', 'max_queued_bytes 100000', 'max_inflight_messages 20'];

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-dropping-'));
const acl = join(dir, 'acl');
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let api: Api;
let clients: TestClient[];

beforeAll(async () => {
  writeFileSync(acl, 'topic readwrite #\ntopic read $SYS/#\n');
  const config = [...LIMITS, `acl_file ${acl}`];
  const [store, broker] = await Promise.all([startRedis({ dir }), startMosquitto({ dir, config })]);
  mosquitto = broker;
  const env = { REDIS_URL: store.url, MQTT_URL: broker.url };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env, name: 'ingester' }),
  ]);
  api = new Api(gateway.url);
  await api.untilBuilt();
  clients = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => TestClient.connect(broker.url, `client-${i}`)));
  for (const client of clients) await client.shakeHands(FACTS);
  await waitUntil(async () => expect(await online()).toBe(CLIENTS), { what: 'all clients to be online' });
});

afterAll(async () => {
  await Promise.all(clients.map(({ mqtt }) => mqtt.endAsync(true)));
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function online(): Promise<number> {
  return (await api.connections()).filter(({ state }) => state === 'online').length;
}

it('a sweep says that the broker left messages out, and clients whose messages it dropped stay online', async () => {
  const { complete, incomplete_reason, read, unseen, corrections } = await api.sweep();
  expect({ complete, incomplete_reason }).toEqual({ complete: false, incomplete_reason: 'left-out' });
  expect(read + unseen).toBe(CLIENTS);
  expect(corrections).toMatchObject({ offline: 0, none: unseen });
  expect(await online()).toBe(CLIENTS);
});

it('a client whose handshake was removed goes offline nevertheless', async () => {
  const [gone] = clients.slice(-1);
  await gone?.publish('', true);
  expect(await api.untilConnection(`client-${CLIENTS - 1}`, ({ state }) => state === 'offline')).toMatchObject({
    offline_reason: 'handshake-removed',
  });
  await gone?.shakeHands(FACTS);
  await api.untilConnection(`client-${CLIENTS - 1}`, ({ state }) => state === 'online');
});

it('clients stay online if the service may no longer read what they retain, and are verified when it may again', async () => {
  writeFileSync(acl, 'topic write redhat/#\ntopic readwrite cloud-connector/#\ntopic read $SYS/#\n');
  mosquitto.child.kill('SIGHUP');
  const answers = Array.from({ length: 3 }, (_, i) =>
    api.call<ConnectionView & { outcome: string }>('POST', `/v1/connections/client-${i}/verify`),
  );
  const swept = await api.sweep();
  expect(swept).toMatchObject({ complete: false, incomplete_reason: 'cut-short', read: 0 });
  for (const { status, body } of await Promise.all(answers)) expect([status, body]).toEqual([503, expect.anything()]);
  expect(await online()).toBe(CLIENTS);
  writeFileSync(acl, 'topic readwrite #\ntopic read $SYS/#\n');
  mosquitto.child.kill('SIGHUP');
  await waitUntil(
    async () => {
      const { status, body } = await api.call<{ outcome: string }>('POST', '/v1/connections/client-0/verify');
      expect([status, body.outcome]).toEqual([200, 'agreed']);
    },
    { what: 'a verification to succeed again' },
  );
  expect(await online()).toBe(CLIENTS);
}, 150_000);
