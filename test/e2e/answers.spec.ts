/** What a device makes of a message comes back to the caller: answers, progress, and why an answer did not count. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shardOf } from '@app/protocol';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { MessageBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api } from '../support/api.js';
import { EventListener } from '../support/event-listener.js';
import { counterOf } from '../support/ingester-app.js';
import { TestClient, envelope } from '../support/mqtt-client.js';

/** The default. */
const SHARDS = 32;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-answers-'));
let api: Api;
let gatewayUrl: string;
let brokerUrl: string;
let env: Record<string, string>;

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, EVENT_SETTLE: '0s', MAX_INBOUND_BYTES: '4096' };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env }),
    startApp('dispatcher', { dir, env }),
  ]);
  api = new Api(gateway.url);
  gatewayUrl = gateway.url;
  brokerUrl = mosquitto.url;
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** A client that has got a message. */
async function asked(id: string, version: 4 | 5 = 5): Promise<{ client: TestClient; messageId: string }> {
  const client = await TestClient.connect(brokerUrl, id, version);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  const { body } = await api.send(id, { directive: 'demo:ping', payload: 1 });
  await client.waitFor('the message', ({ message_id }) => message_id === body.message_id);
  await api.untilStatus(body.message_id, 'sent');
  return { client, messageId: body.message_id };
}

async function read(messageId: string): Promise<MessageBody> {
  return (await api.call<MessageBody>('GET', `/v1/messages/${messageId}`)).body;
}

it.each([4, 5] as const)(
  'a device with MQTT %s reports progress, and answers with a payload that the caller reads',
  async (version) => {
    const id = `answers-${version}`;
    const { client, messageId } = await asked(id, version);
    const listener = await EventListener.open(gatewayUrl, { client_id: id, types: 'message.*' });
    const about = { in_response_to: messageId };
    await client.publish(
      envelope('message-progress', { ...about, payload: { percent: 40, details: 'copying' } }),
      false,
    );
    await waitUntil(
      async () => expect((await read(messageId)).progress).toMatchObject({ percent: 40, details: 'copying' }),
      {
        what: 'the progress is shown',
      },
    );
    const response = envelope('message-response', { ...about, message_id: 'r-1', payload: 0 });
    await client.publish(response.replace('"payload":0', '"payload":{"pong":2.50,\n"list":[true]}'), false);
    await api.untilStatus(messageId, 'answered');
    const answer = { message_id: 'r-1', payload: { pong: 2.5, list: [true] }, late: false };
    expect((await read(messageId)).answer).toMatchObject(answer);
    await client.publish(response, false);
    await client.reportError(messageId, 'too late');
    await listener.until('the second answer is reported', () =>
      expect(listener.received.at(-1)?.event).toBe('message.unmatched_error'),
    );
    expect(listener.received.map(({ event, data }) => [event, data['status'] ?? null])).toEqual([
      ['message.progress', null],
      ['message.status', 'answered'],
      ['message.unmatched_error', null],
    ]);
    listener.close();
  },
);

it.each([
  ['too large', 'too-large', (answer: string) => answer.replace('"payload":0', `"payload":"${'x'.repeat(5000)}"`)],
  ['no JSON', 'not-json', (answer: string) => answer.replace('"payload":0', '"payload":{')],
  ['of another version', 'unsupported-version', (answer: string) => answer.replace('"version":1', '"version":2')],
])(
  'an answer that is %s is a dead letter, and is named in the history of its message; a valid one counts',
  async (...given) => {
    const [, reason, spoil] = given;
    const id = `spoilt-${reason}`;
    const { client, messageId } = await asked(id);
    await client.publish(spoil(envelope('message-response', { in_response_to: messageId, payload: 0 })), false);
    await waitUntil(
      async () => {
        const { status, status_history: history } = await read(messageId);
        expect([status, history.at(-2)?.details]).toEqual([
          'sent',
          expect.stringMatching(/^an answer did not count: /),
        ]);
      },
      { what: 'the history names the answer' },
    );
    const letters = await api.call<{ dead_letters: unknown[] }>('GET', '/v1/cluster/dead-letters?limit=50');
    expect(JSON.stringify(letters.body)).toContain(
      `"client_id":"${id}","topic":"redhat/insights/in/{clientId}","reason":"${reason}"`,
    );
    await client.publish(envelope('message-response', { in_response_to: messageId }), false);
    await api.untilStatus(messageId, 'answered');
  },
);

/** Numbers that JavaScript cannot represent, members in an order that it would change, and one that occurs twice. */
const EXACT = '{"2":[12345678901234567890,1.10,1e400],"1":-0.0,"1":"$&"}';

async function textOf(path: string, init: RequestInit = {}): Promise<string> {
  return (await fetch(gatewayUrl + path, init)).text();
}

it('what a device says comes back as it was written, on each way out', async () => {
  const id = 'exact';
  const { client, messageId } = await asked(id);
  const listener = await EventListener.open(gatewayUrl, { client_id: id, types: 'client.message' });
  const say = (type: string, about: object): Promise<unknown> =>
    client.publish(
      envelope(type, { ...about, payload: 0 }).replace('"payload":0', () => `"payload":${EXACT}`),
      false,
    );
  const waiting = textOf(`/v1/connections/${id}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify({ directive: 'demo:exact' }),
  });
  const asking = await client.waitFor('the second message', ({ directive }) => directive === 'demo:exact');
  await say('message-response', { in_response_to: asking.message_id });
  expect(await waiting).toContain(`"payload":${EXACT}`);
  await say('message-response', { in_response_to: messageId });
  await api.untilStatus(messageId, 'answered');
  expect(await textOf(`/v1/messages/${messageId}`)).toContain(`"answer":{"payload":${EXACT},"message_id"`);
  expect((await textOf(`/v1/connections/${id}/messages`)).split(EXACT)).toHaveLength(3);
  await say('message', { directive: 'demo:exact' });
  await listener.until('the event has come', () => expect(listener.received).toHaveLength(1));
  expect(listener.texts.at(-1)).toContain(`"payload":${EXACT}`);
  listener.close();
});

it('an answer that a device retains counts, and takes the device offline', async () => {
  const { client, messageId } = await asked('retains');
  await client.publish(envelope('message-response', { in_response_to: messageId, payload: 'done' }), true);
  await api.untilStatus(messageId, 'answered');
  await api.untilConnection(
    'retains',
    ({ state, offline_reason }) => state === 'offline' && offline_reason === 'unknown',
  );
  expect((await read(messageId)).answer).toMatchObject({ payload: 'done', late: false });
});

/** A connected client whose shard is that of the other client, or is not. */
async function strangerOf(clientId: string, near: boolean): Promise<TestClient> {
  const ids = Array.from({ length: 1000 }, (_, i) => `stranger-${i}`);
  const id = ids.find((each) => (shardOf(each, SHARDS) === shardOf(clientId, SHARDS)) === near) ?? '';
  const client = await TestClient.connect(brokerUrl, id);
  await client.shakeHands();
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

it('an answer of another client changes nothing, and is emitted with the reason', async () => {
  const { client, messageId } = await asked('own');
  // A shard knows its own messages only.
  const [stranger, distant] = await Promise.all([strangerOf('own', true), strangerOf('own', false)]);
  const listener = await EventListener.open(gatewayUrl, { types: 'message.status,message.unmatched_response' });
  const before = await read(messageId);
  const answer = { message_id: 'r-1', in_response_to: messageId, payload: 'mine' };
  for (const [other, reason] of [
    [stranger, 'foreign'],
    [distant, 'unknown'],
  ] as const) {
    await other.publish(envelope('message-response', answer), false);
    await listener.until('the answer of the stranger is emitted', () => expect(listener.of(other.id)).toHaveLength(1));
    expect(listener.of(other.id)[0]).toMatchObject({
      event: 'message.unmatched_response',
      data: { message_id: 'r-1', in_response_to: messageId, reason },
    });
  }
  expect(listener.of('own')).toEqual([]);
  expect(await read(messageId)).toEqual(before);
  // With the same id as that of the stranger, the answer of the client is another one.
  await client.publish(envelope('message-response', { ...answer, payload: 'own' }), false);
  await api.untilStatus(messageId, 'answered');
  expect((await read(messageId)).answer).toMatchObject({ message_id: 'r-1', payload: 'own' });
  listener.close();
});

it('a gateway that is stopped while callers wait accepts what was sent, refuses what is read, and the answer is kept', async () => {
  const { client, messageId } = await asked('stops');
  const stopping = await startApp('api-gateway', { dir, name: 'stopping', env });
  const [wait, at] = [{ prefer: 'wait=60' }, new Api(stopping.url)];
  const reading = at.call('GET', `/v1/messages/${messageId}`, undefined, wait);
  const sending = at.send('stops', { directive: 'demo:ping', payload: 2 }, wait);
  const { message_id } = await client.waitFor('the second message', ({ payload }) => payload === 2);
  await waitUntil(async () => expect(await counterOf(stopping.url, 'waiting_requests')).toBe(2));
  expect(await stopping.stop()).toBe(0);
  const [read503, sent202] = await Promise.all([reading, sending]);
  expect([read503.status, sent202.status, sent202.body.message_id]).toEqual([503, 202, message_id]);
  await client.publish(envelope('message-response', { in_response_to: message_id, payload: 'late' }), false);
  expect((await api.untilStatus(message_id, 'answered')).message_id).toBe(message_id);
});
