/** A client that moves to another account never receives messages of its former account. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';
import { EventListener } from '../support/event-listener.js';
import { counterOf } from '../support/ingester-app.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { AccountEndpoint, TOKEN } from './support/account-endpoint.js';
import { KeyRing, startGateway, type RunningGateway } from './support/gateway.js';

const REMEMBERED_MS = 1000;
const MOVED = { status: 'failed', details: 'the client belongs to another account now' };
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-account-moves-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const [keyOfA, keyOfB] = ['a', 'b'].map((account) => ring.add({ id: account, scopes: [...SCOPES], account })) as [
  string,
  string,
];
const keyOfAll = ring.add({ id: 'all', scopes: [...SCOPES] });
let endpoint: AccountEndpoint;
let gateway: RunningGateway;
let broker: string;
let a: Api;
let b: Api;
let all: Api;

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  endpoint = await new AccountEndpoint().start();
  broker = mosquitto.url;
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, `${TOKEN}\n`);
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url };
  const accounts = { ACCOUNTS_URL: endpoint.url, ACCOUNTS_TOKEN_FILE: tokenFile, ACCOUNTS_REMEMBERED: '1s' };
  [gateway] = await Promise.all([
    startGateway(dir, 'gateway', { ...env, API_KEYS_FILE: ring.path, EVENT_HEARTBEAT: '200ms' }),
    startApp('status-ingester', { dir, env: { ...env, ...accounts, EVENT_SETTLE: '0s' } }),
    startApp('dispatcher', { dir, env }),
  ]);
  [a, b, all] = [keyOfA, keyOfB, keyOfAll].map((key) => new Api(gateway.url, key)) as [Api, Api, Api];
});

afterAll(async () => {
  await endpoint.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function connect(id: string): Promise<TestClient> {
  const client = await TestClient.connect(broker, id);
  await client.shakeHands();
  return client;
}

function asked(id: string): number {
  return endpoint.asked.filter(({ clientId }) => clientId === id).length;
}

/** Makes a client of account a that is offline and has a held message. Its cached account has expired. */
async function heldOf(id: string): Promise<MessageView> {
  endpoint.accounts.set(id, 'a');
  const client = await connect(id);
  await a.untilConnection(id, ({ state }) => state === 'online');
  const knownAt = Date.now();
  await client.sayGoodbye();
  await a.untilConnection(id, ({ state }) => state === 'offline');
  const { status, body } = await a.send(id, { directive: 'spec:of-a' });
  expect([status, body.status]).toEqual([202, 'held']);
  await waitUntil(() => expect(Date.now() - knownAt).toBeGreaterThan(REMEMBERED_MS));
  return body;
}

async function untilFailed(message: MessageView): Promise<void> {
  const view = await a.untilStatus(message.message_id, 'failed');
  expect(view.status_history.at(-1)).toMatchObject(MOVED);
}

/** Messages are sent in order: when this one has arrived, all earlier ones have. */
async function expectOnlyOfB(client: TestClient): Promise<void> {
  await b.untilConnection(client.id, ({ state }) => state === 'online');
  const { body } = await b.send(client.id, { directive: 'spec:of-b' });
  await client.waitFor('the message of the new account', ({ message_id }) => message_id === body.message_id);
  expect(client.distinct.map(({ directive }) => directive)).toEqual(['spec:of-b']);
}

describe('held messages of the former account', () => {
  it('fail if the client comes back with another account', async () => {
    const message = await heldOf('moves');
    endpoint.accounts.set('moves', 'b');
    const client = await connect('moves');
    await untilFailed(message);
    await expectOnlyOfB(client);
    await client.sayGoodbye();
  });

  it('fail if the client comes back without an account', async () => {
    const message = await heldOf('lost');
    endpoint.accounts.delete('lost');
    const client = await connect('lost');
    await untilFailed(message);
    const { body } = await all.send('lost', { directive: 'spec:of-nobody' });
    await client.waitFor('a message without an account', ({ message_id }) => message_id === body.message_id);
    expect(client.distinct.map(({ directive }) => directive)).toEqual(['spec:of-nobody']);
    await client.sayGoodbye();
  });

  it('fail if the client is forgotten and registers again with another account', async () => {
    const message = await heldOf('forgotten');
    expect((await a.call('DELETE', '/v1/connections/forgotten')).status).toBe(204);
    endpoint.accounts.set('forgotten', 'b');
    const client = await connect('forgotten');
    await untilFailed(message);
    await expectOnlyOfB(client);
    await client.sayGoodbye();
  });

  it('wait while the account is unknown, and are failed or sent when it is known; other clients get theirs', async () => {
    const [moves, stays] = await Promise.all([heldOf('asked-moves'), heldOf('asked-stays')]);
    const [listenerOfAll, listenerOfB] = await Promise.all([
      EventListener.open(gateway.url, { client_id: 'asked-moves' }, undefined, keyOfAll),
      EventListener.open(gateway.url, {}, undefined, keyOfB),
    ]);
    endpoint.moods.set('asked-', 'away');
    const clients = await Promise.all(['asked-moves', 'asked-stays'].map(connect));
    await Promise.all(clients.map(({ id }) => all.untilConnection(id, ({ state }) => state === 'online')));
    await waitUntil(() => expect(Math.min(...clients.map(({ id }) => asked(id)))).toBeGreaterThan(2));
    endpoint.accounts.set('beside', 'a');
    const beside = await connect('beside');
    await a.untilConnection('beside', ({ state }) => state === 'online');
    const { body: other } = await a.send('beside', { directive: 'spec:beside' });
    await a.untilStatus(other.message_id, 'sent');
    for (const { message_id } of [moves, stays]) await a.untilStatus(message_id, 'queued');
    // Its events wait for the account for two seconds; then they are published without one.
    await listenerOfAll.until('the moved client comes online without an account', () =>
      expect(listenerOfAll.of('asked-moves').map(({ event }) => event)).toEqual(['connection.online']),
    );
    expect(listenerOfB.of('asked-moves')).toEqual([]);
    endpoint.accounts.set('asked-moves', 'b');
    endpoint.moods.delete('asked-');
    await untilFailed(moves);
    await a.untilStatus(stays.message_id, 'sent');
    await listenerOfB.until('the new account sees the client', () =>
      expect(listenerOfB.of('asked-moves').map(({ event }) => event)).toEqual(['connection.updated']),
    );
    const [moved, stayed] = clients as [TestClient, TestClient];
    expect(stayed.distinct.map(({ message_id }) => message_id)).toEqual([stays.message_id]);
    await expectOnlyOfB(moved);
    for (const listener of [listenerOfAll, listenerOfB]) listener.close();
    await Promise.all([...clients, beside].map((client) => client.sayGoodbye()));
  });

  it('fail if the new account is found when the client is offline again', async () => {
    const message = await heldOf('gone');
    endpoint.moods.set('gone', 'away');
    const client = await connect('gone');
    await all.untilConnection('gone', ({ state }) => state === 'online');
    await client.sayGoodbye();
    await all.untilConnection('gone', ({ state }) => state === 'offline');
    endpoint.accounts.set('gone', 'b');
    endpoint.moods.delete('gone');
    await untilFailed(message);
    expect((await b.connection('gone')).body.held_messages).toBe(0);
  });
});

it('a request that waits for a held message is answered when its client moves, and the client cannot answer for its former account', async () => {
  endpoint.accounts.set('waited-for', 'a');
  const before = await connect('waited-for');
  await a.untilConnection('waited-for', ({ state }) => state === 'online');
  const { body: delivered } = await a.send('waited-for', { directive: 'spec:delivered' });
  await a.untilStatus(delivered.message_id, 'sent');
  await before.sayGoodbye();
  const held = await heldOf('waited-for');
  const waiting = a.call<MessageView>('GET', `/v1/messages/${held.message_id}`, undefined, { prefer: 'wait=60' });
  await waitUntil(async () => expect(await counterOf(gateway.management, 'waiting_requests')).toBe(1));
  endpoint.accounts.set('waited-for', 'b');
  const client = await connect('waited-for');
  const { status, body } = await waiting;
  expect([status, body.status, body.status_history.at(-1)]).toEqual([200, 'failed', expect.objectContaining(MOVED)]);
  await b.untilConnection('waited-for', ({ state }) => state === 'online');
  const query = { client_id: 'waited-for', types: 'message.unmatched_response' };
  const listener = await EventListener.open(gateway.url, query, undefined, keyOfB);
  await client.publish(envelope('message-response', { in_response_to: delivered.message_id, payload: 'of b' }), false);
  await listener.until('the answer did not count', () =>
    expect(listener.received.map(({ data }) => data['reason'])).toEqual(['foreign']),
  );
  const read = await a.call('GET', `/v1/messages/${delivered.message_id}`);
  expect(read.body).toMatchObject({ status: 'sent', answer: null });
  listener.close();
  await client.sayGoodbye();
});

it('a message of the new account is accepted with an Idempotency-Key that the former account has used', async () => {
  const body = { directive: 'spec:update' };
  const headers = { 'idempotency-key': 'update-1' };
  endpoint.accounts.set('updated', 'a');
  const before = await connect('updated');
  await a.untilConnection('updated', ({ state }) => state === 'online');
  const knownAt = Date.now();
  const ofA = await a.send('updated', body, headers);
  await a.untilStatus(ofA.body.message_id, 'sent');
  await before.sayGoodbye();
  await a.untilConnection('updated', ({ state }) => state === 'offline');
  await waitUntil(() => expect(Date.now() - knownAt).toBeGreaterThan(REMEMBERED_MS));
  endpoint.accounts.set('updated', 'b');
  const client = await connect('updated');
  await b.untilConnection('updated', ({ state }) => state === 'online');
  const ofB = await b.send('updated', body, headers);
  expect(ofB.status).toBe(202);
  expect(ofB.headers.get('idempotency-replayed')).toBeNull();
  expect(ofB.body.message_id).not.toBe(ofA.body.message_id);
  await b.untilStatus(ofB.body.message_id, 'sent');
  await client.waitFor('the message of the new account', ({ message_id }) => message_id === ofB.body.message_id);
  const repeated = await b.send('updated', body, headers);
  expect([repeated.body.message_id, repeated.headers.get('idempotency-replayed')]).toEqual([
    ofB.body.message_id,
    'true',
  ]);
  await client.sayGoodbye();
});
