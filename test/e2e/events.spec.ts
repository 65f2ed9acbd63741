/** The event stream over HTTP: changes in order, resumes at any gateway, an outage of Redis, and many subscribers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startMosquitto, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { BatchResultBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api, type ProblemView } from '../support/api.js';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { EventListener } from '../support/event-listener.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { startStore, type Store } from '../support/store.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-events-'));
let store: Store;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let gateway: Awaited<ReturnType<typeof startApp>>;
let second: Awaited<ReturnType<typeof startApp>>;
let api: Api;

function gatewayOf(name: string): ReturnType<typeof startApp> {
  const env = { REDIS_URL: store.url, EVENT_HEARTBEAT: '500ms' };
  return startApp('api-gateway', { dir, name, env });
}

beforeAll(async () => {
  store = await startStore(dir);
  mosquitto = await startMosquitto({ dir });
  // No events are coalesced, so each change can be compared.
  const env = { REDIS_URL: store.url, MQTT_URL: mosquitto.url, EVENT_SETTLE: '0s' };
  [gateway, second] = await Promise.all([
    gatewayOf('gateway'),
    gatewayOf('second'),
    startApp('status-ingester', { dir, env }),
    startApp('dispatcher', { dir, env }),
  ]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function online(id: string): Promise<TestClient> {
  const client = await TestClient.connect(mosquitto.url, id);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

it('the event stream has each change of a connection and of its messages once and in order', async () => {
  const all = await EventListener.open(gateway.url);
  const filtered = await EventListener.open(second.url, { client_id: 'changes', types: 'message.status' });
  const client = await online('changes');
  const { body } = await api.send('changes', { directive: 'test:changes' });
  await api.untilStatus(body.message_id, 'sent');
  await client.reportError(body.message_id, 'broken');
  await api.untilStatus(body.message_id, 'failed');
  await client.sayGoodbye();
  await api.untilConnection('changes', ({ state }) => state === 'offline');
  const held = await api.send('changes', { directive: 'test:held' });
  expect((await api.call('DELETE', `/v1/messages/${held.body.message_id}`)).status).toBe(204);
  await all.until('the cancelled message is reported', () =>
    expect(all.of('changes').at(-1)?.data['status']).toBe('cancelled'),
  );
  const statuses = [...SENT, 'failed'];
  expect(withoutGivenUpClaims(all.of('changes').map(({ event, data }) => data['status'] ?? event))).toEqual([
    ...['connection.online', ...statuses, 'connection.offline', 'held', 'cancelled'],
  ]);
  await filtered.until('the filtered stream reports the cancelled message', () =>
    expect(filtered.received.at(-1)?.data['status']).toBe('cancelled'),
  );
  const received = filtered.received.map(({ data }) => data['status']);
  expect(withoutGivenUpClaims(received)).toEqual([...statuses, 'held', 'cancelled']);
  expect(filtered.received.find(({ data }) => data['status'] === 'failed')?.data).toMatchObject({
    message_id: body.message_id,
    details: 'broken',
  });
  all.close();
  filtered.close();
});

it('the event stream resumes at another gateway with the last id, loses no event, and repeats the event ids', async () => {
  await online('resumed');
  const first = await EventListener.open(gateway.url, { client_id: 'resumed' });
  for (let n = 0; n < 5; n++) await api.send('resumed', { directive: 'test:resumed', payload: n });
  await first.until('the first stream has some events', () => expect(first.received.length).toBeGreaterThan(3));
  first.close();
  for (let n = 0; n < 5; n++) await api.send('resumed', { directive: 'test:resumed', payload: n });
  const rest = await EventListener.open(second.url, { client_id: 'resumed' }, first.lastId);
  const seen = (): Map<unknown, string> =>
    new Map(
      [...first.received, ...rest.received]
        .filter(({ event }) => event === 'message.status')
        .map(({ data }) => [data['event_id'], `${String(data['message_id'])} ${String(data['status'])}`]),
    );
  await rest.until('both streams together have all 30 statuses', () => expect(seen().size).toBe(30));
  expect(new Set(seen().values()).size).toBe(30);
  expect(rest.received.map(({ event }) => event)).not.toContain('gap');
  rest.close();
});

it('a message of a client comes to those who name it, with the payload as the client wrote it', async () => {
  const client = await online('speaks');
  const named = await EventListener.open(second.url, { types: 'client.*,message.status' });
  const unnamed = await EventListener.open(gateway.url, { client_id: 'speaks' });
  const payload = '{"disk": [1e400, 12345678901234567890], "2": 1,\n"1": "\\n"}';
  const about = '"message_id":"says-1","version":1,"sent":"2026-01-02T03:04:05Z","directive":"demo:alert"';
  await client.publish(`{"type":"message",${about},"payload":${payload}}`, false);
  await client.publish(envelope('message', { message_id: 'says-2', directive: 'demo:alert' }), false);
  await named.until('both messages of the client are reported', () => expect(named.of('speaks')).toHaveLength(2));
  const [first, bare] = named.received.filter(({ event }) => event === 'client.message');
  expect(first).toMatchObject({ event: 'client.message', data: { message_id: 'says-1', directive: 'demo:alert' } });
  expect(named.texts.find((text) => text.includes('says-1'))).toContain(`"payload":${payload.replace('\n', ' ')}`);
  expect(bare?.data).not.toHaveProperty('payload');
  await api.send('speaks', { directive: 'test:after' });
  await unnamed.until('a later event is reported', () => expect(unnamed.received.length).toBeGreaterThan(0));
  expect(new Set(unnamed.received.map(({ event }) => event))).toEqual(new Set(['message.status']));
  named.close();
  unnamed.close();
});

it.each([
  ['an unknown type', '?types=message.status,nothing', {}, 'types'],
  ['an invalid client id', '?client_id=a/b', {}, 'client_id'],
  ['a time that is no timestamp', '?since=yesterday', {}, 'since'],
  ['a Last-Event-ID that is no cursor', '', { 'last-event-id': '17-0' }, 'Last-Event-ID'],
])('the event stream refuses %s', async (_, query, headers, name) => {
  const { status, body } = await api.call<ProblemView>('GET', `/v1/events${query}`, undefined, headers);
  expect([status, body.errors?.[0]?.name]).toEqual([422, name]);
});

it('the gateway sends every event to each of two hundred subscribers', async () => {
  const ids = Array.from({ length: 20 }, (_, i) => `crowd-${i}`);
  await Promise.all(ids.map((id) => online(id)));
  const listeners = await Promise.all(
    Array.from({ length: 200 }, () => EventListener.open(gateway.url, { types: 'message.status' })),
  );
  const messages = Array.from({ length: 200 }, (_, n) => ({ client_id: ids[n % 20], directive: 'test:crowd' }));
  const { body } = await api.call<BatchResultBody>('POST', '/v1/messages', { messages });
  const accepted = new Set(body.results.map(({ message }) => message?.message_id));
  expect(accepted.size).toBe(200);
  for (const listener of listeners) {
    const statusesOf = (id: string | undefined): unknown[] =>
      listener.received.filter(({ data }) => data['message_id'] === id).map(({ data }) => data['status']);
    await listener.until('the subscriber has 200 messages as sent', () =>
      expect(listener.received.filter(({ data }) => data['status'] === 'sent')).toHaveLength(200),
    );
    for (const id of accepted) expect(withoutGivenUpClaims(statusesOf(id))).toEqual(SENT);
    listener.close();
  }
});

it('the event stream stays open while Redis is away, and loses no event that Redis has kept', async () => {
  await online('outlives');
  const listener = await EventListener.open(gateway.url, { client_id: 'outlives' });
  const before = await api.send('outlives', { directive: 'test:before' });
  await api.untilStatus(before.body.message_id, 'sent');
  await store.stop();
  const beats = listener.beats;
  await listener.until('the stream gets heartbeats while Redis is away', () =>
    expect(listener.beats).toBeGreaterThan(beats + 1),
  );
  await store.again();
  const after = await waitUntil(async () => {
    const answer = await api.send('outlives', { directive: 'test:after' });
    if (answer.status !== 202) throw new Error(`the message was answered with ${answer.status}`);
    return answer.body;
  });
  await api.untilStatus(after.message_id, 'sent');
  // The last event may still be one of the first message.
  const last = { message_id: after.message_id, status: 'sent' };
  await listener.until('the stream reports the message as sent', () =>
    expect(listener.received.at(-1)?.data).toMatchObject(last),
  );
  const received = listener.received.filter(({ data }) => data['message_id'] === after.message_id);
  expect(withoutGivenUpClaims(received.map(({ data }) => data['status']))).toEqual(SENT);
  expect(listener.ended).toBe(false);
  listener.close();
});

it('the event stream ends with a reason when its gateway stops, and resumes at the other one', async () => {
  // This gateway may still be reconnecting to Redis.
  const listener = await waitUntil(() => EventListener.open(second.url, { client_id: 'outlives' }));
  expect(await second.stop()).toBe(0);
  await listener.until('the stream has ended', () => expect(listener.ended).toBe(true));
  expect(listener.received).toMatchObject([{ event: 'closed', data: { reason: 'shutting-down' } }]);
  const { body } = await api.send('outlives', { directive: 'test:between' });
  const rest = await EventListener.open(gateway.url, { client_id: 'outlives' }, listener.lastId);
  await rest.until('the stream that resumed has the message', () =>
    expect(rest.received.map(({ data }) => data['message_id'])).toContain(body.message_id),
  );
  rest.close();
});
