/**
 * A dispatcher is killed between a PUBLISH and its PUBACK, and the device goes away and returns. It answers before or after the next
 * dispatcher publishes the message again. Either way the message is answered once.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startApp, startMosquitto, startRedis, stopAll } from '../../scripts/stack.mjs';
import type { MessageBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import { EventListener } from '../support/event-listener.js';
import { TestClient, envelope } from '../support/mqtt-client.js';

type App = Awaited<ReturnType<typeof startApp>>;

const SHARDS = 32;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-answers-'));
const keys = new RegistryKeys('cc');
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let contrary: ContraryBroker;
let env: Record<string, string>;
let gateway: App;
let api: Api;
let store: Redis;
let started = 0;

beforeAll(async () => {
  const [redis, broker] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  mosquitto = broker;
  contrary = await ContraryBroker.before(mosquitto.port);
  store = new Redis(redis.url);
  env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, EVENT_SETTLE: '0s' };
  [gateway] = await Promise.all([startApp('api-gateway', { dir, env }), startApp('status-ingester', { dir, env })]);
  api = new Api(gateway.url);
});

afterAll(async () => {
  store.disconnect();
  await stopAll();
  await contrary.stop();
  rmSync(dir, { recursive: true });
});

function dispatcher(brokerUrl: string): Promise<App> {
  return startApp('dispatcher', { dir, name: `dispatcher-${started++}`, env: { ...env, MQTT_URL: brokerUrl } });
}

async function online(id: string): Promise<TestClient> {
  const client = await TestClient.connect(mosquitto.url, id);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

/** The message as soon as it is final. */
async function whenFinal(messageId: string): Promise<MessageBody> {
  const wait = { prefer: 'wait=20' };
  return (await api.call<MessageBody>('GET', `/v1/messages/${messageId}`, undefined, wait)).body;
}

async function waitsInOutbox(id: string): Promise<boolean> {
  return (await store.exists(keys.outbox(shardOf(id, SHARDS), id))) === 1;
}

function idsOf({ received }: TestClient): string[] {
  return received.filter(({ type }) => type === 'message').map(({ message_id }) => message_id);
}

/** Statuses of messages, answers that did not count, and what the client said itself, without their ids. */
function summaryOf(listener: EventListener): unknown[] {
  return listener.received.map(({ event, data }) => data['status'] ?? event);
}

/** Publishes a message of the client, and waits until it was emitted: by then everything that it sent before has had its effect. */
async function untilEmitted(client: TestClient, listener: EventListener): Promise<void> {
  const message_id = randomUUID();
  await client.publish(envelope('message', { message_id, directive: 'test:last' }), false);
  await listener.until('what the client said last is emitted', () =>
    expect(listener.received.at(-1)?.data).toMatchObject({ type: 'client.message', message_id }),
  );
}

/** A device has a message, the dispatcher that published it was killed without its PUBACK, and the device is offline. */
async function published(id: string): Promise<{ listener: EventListener; messageId: string; answer: string }> {
  const victim = await dispatcher(contrary.url);
  const client = await online(id);
  const types = 'message.*,client.*';
  const listener = await EventListener.open(gateway.url, { client_id: id, types });
  contrary.withholdPubacks();
  const { body } = await api.send(id, { directive: 'test:once' });
  await client.waitFor('the message', ({ message_id }) => message_id === body.message_id);
  await victim.kill();
  contrary.release();
  client.vanish();
  await api.untilConnection(id, ({ state }) => state === 'offline');
  expect((await api.call<MessageBody>('GET', `/v1/messages/${body.message_id}`)).body.status).toBe('in_flight');
  expect(await waitsInOutbox(id)).toBe(true);
  const answer = envelope('message-response', { in_response_to: body.message_id, payload: 'done' });
  return { listener, messageId: body.message_id, answer };
}

it('a message of a killed dispatcher that is answered before it is published again leaves the outbox, and is never published again', async () => {
  const { listener, messageId, answer } = await published('answers-first');
  const client = await online('answers-first');
  await client.publish(answer, false);
  expect(await whenFinal(messageId)).toMatchObject({ status: 'answered', answer: { payload: 'done', late: false } });
  expect(await waitsInOutbox(client.id)).toBe(false);
  const next = await dispatcher(mosquitto.url);
  const { body } = await api.send(client.id, { directive: 'test:next', response_timeout_seconds: 20 });
  await client.waitFor('the next message', ({ message_id }) => message_id === body.message_id);
  await client.publish(envelope('message-response', { in_response_to: body.message_id }), false);
  expect((await whenFinal(body.message_id)).status).toBe('answered');
  // Messages of a client are published in order: what was to be published before has arrived.
  expect(idsOf(client)).toEqual([body.message_id]);
  await untilEmitted(client, listener);
  const ofFirst = listener.received.filter(({ data }) => data['message_id'] === messageId);
  expect(ofFirst.map(({ data }) => data['status'])).toEqual(['queued', 'in_flight', 'answered']);
  listener.close();
  client.vanish();
  await next.kill();
});

it('a message of a killed dispatcher that is answered after it was published again is answered once; the answer to the repeat changes and emits nothing', async () => {
  const { listener, messageId, answer } = await published('answers-later');
  const client = await online('answers-later');
  const next = await dispatcher(mosquitto.url);
  await client.waitFor('the message again', ({ message_id }) => message_id === messageId);
  await client.publish(answer, false);
  const answered = await whenFinal(messageId);
  expect(answered).toMatchObject({ status: 'answered', answer: { payload: 'done', late: false } });
  await untilEmitted(client, listener);
  const emitted = summaryOf(listener);
  await client.publish(answer, false);
  await untilEmitted(client, listener);
  expect(summaryOf(listener)).toEqual([...emitted, 'client.message']);
  expect(emitted.filter((one) => one === 'answered')).toHaveLength(1);
  expect(await whenFinal(messageId)).toEqual(answered);
  expect(idsOf(client)).toEqual([messageId]);
  listener.close();
  client.vanish();
  await next.kill();
});
