/** The life of a client, from its handshake until it is forgotten, with a real broker and real processes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudConnector, type MessageToSend } from '@app/client';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startApp, startMosquitto, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type MessageView, type ProblemView } from '../support/api.js';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { TestClient, envelope } from '../support/mqtt-client.js';
import { onStore, startStore, type Store } from '../support/store.js';
import { changeStoredMessage } from '../support/stored-message.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-e2e-'));
let store: Store;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let api: Api;
let connector: CloudConnector;

beforeAll(async () => {
  store = await startStore(dir);
  mosquitto = await startMosquitto({ dir });
  const env = { REDIS_URL: store.url, MQTT_URL: mosquitto.url };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env }),
    startApp('dispatcher', { dir, env }),
  ]);
  api = new Api(gateway.url);
  connector = new CloudConnector({ baseUrl: gateway.url });
  await api.untilBuilt();
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

describe.each([
  { name: 'MQTT 3.1.1', version: 4 as const },
  { name: 'MQTT 5', version: 5 as const },
])('a client that speaks $name', ({ version }) => {
  const id = `story-${version}`;
  let client: TestClient;

  it('registers with a retained handshake', async () => {
    client = await TestClient.connect(mosquitto.url, id, version);
    const handshake = await client.shakeHands({
      fqdn: `${id}.example.com`,
      ip_addresses: ['192.0.2.7'],
      extra: { kept: true },
    });
    const connection = await api.untilConnection(id, ({ state }) => state === 'online');
    expect(connection).toMatchObject({
      type: 'host',
      handshake_message_id: handshake,
      facts: { fqdn: `${id}.example.com`, ip_addresses: ['192.0.2.7'], extra: { kept: true } },
      held_messages: 0,
    });
  });

  it('receives messages in the order of their acceptance, and they become sent', async () => {
    const sent: string[] = [];
    for (let n = 0; n < 20; n++) {
      const { status, body, headers } = await api.send(id, { directive: 'test:count', payload: { n } });
      expect(status).toBe(202);
      expect(headers.get('location')).toBe(`/v1/messages/${body.message_id}`);
      sent.push(body.message_id);
    }
    await client.waitFor('the last message', ({ message_id }) => message_id === sent.at(-1));
    const messages = client.distinct.filter(({ type }) => type === 'message');
    expect(messages.map(({ message_id }) => message_id)).toEqual(sent);
    expect(messages.map(({ payload }) => payload)).toEqual(sent.map((_, n) => ({ n })));
    const last = await api.untilStatus(sent.at(-1) ?? '', 'sent');
    const statuses = last.status_history.map(({ status }) => status);
    expect(withoutGivenUpClaims(statuses)).toEqual(SENT);
  });

  it('reports a failed message, and the details are kept', async () => {
    const sent = await connector.sendMessage(id, { directive: 'test:fail' });
    await client.waitFor('the message', ({ message_id }) => message_id === sent.message_id);
    await client.reportError(sent.message_id, 'no such directive');
    const failed = await api.untilStatus(sent.message_id, 'failed');
    expect(failed.status_history.at(-1)).toMatchObject({ status: 'failed', details: 'no such directive' });
  });

  it('is found by its facts and in the listing', async () => {
    const byFact = await connector.listConnections({ fqdn: `${id}.example.com` });
    expect(byFact.data.map(({ client_id }) => client_id)).toEqual([id]);
    const listed = await connector.listConnections({ state: 'online', type: 'host' });
    expect(listed.data.map(({ client_id }) => client_id)).toContain(id);
  });

  it('goes offline by its last will if it disappears without a goodbye', async () => {
    client.vanish();
    const connection = await api.untilConnection(id, ({ state }) => state === 'offline');
    expect(connection.offline_reason).toBe('retained-offline');
  });

  it('receives its held messages in order when it returns, and not the expired one', async () => {
    const short = await connector.sendMessage(id, { directive: 'test:short', ttl_seconds: 1 });
    const held = [
      await connector.sendMessage(id, { directive: 'test:held', payload: 1 }),
      await connector.sendMessage(id, { directive: 'test:held', payload: 2 }),
    ];
    expect(held.map(({ status }) => status)).toEqual(['held', 'held']);
    expect((await connector.waitForMessage(short.message_id)).status).toBe('expired');
    expect((await connector.getConnection(id)).held_messages).toBe(2);
    const rejected = connector.sendMessage(id, { directive: 'test:now', when_offline: 'reject' });
    await expect(rejected).rejects.toMatchObject({ status: 409, kind: 'client-offline' });

    client = await TestClient.connect(mosquitto.url, id, version);
    await client.shakeHands();
    await client.waitFor('the second held message', ({ payload }) => payload === 2);
    expect(client.distinct.map(({ directive, payload }) => [directive, payload])).toEqual([
      ['test:held', 1],
      ['test:held', 2],
    ]);
  });

  it('is disconnected, refused until it may reconnect, and accepted when the refusal is lifted', async () => {
    await connector.forceDisconnect(id, 'never');
    const order = await client.waitFor('force-disconnect', ({ type }) => type === 'force-disconnect');
    expect(order.payload).toEqual({ reconnect_after: 'never' });
    await client.sayGoodbye();
    await api.untilConnection(id, ({ state, refused_until }) => state === 'offline' && refused_until === 'never');

    client = await TestClient.connect(mosquitto.url, id, version);
    const early = await client.shakeHands();
    const refusal = await client.waitFor('the refusal', ({ type }) => type === 'handshake-error');
    expect(refusal.in_response_to).toBe(early);
    expect(refusal.payload).toMatchObject({ reason: 'refused-until', retry_after: 'never' });
    expect(await connector.getConnection(id)).toMatchObject({ state: 'offline' });

    await connector.liftRefusal(id);
    await client.shakeHands();
    await api.untilConnection(id, ({ state }) => state === 'online');
  });

  it('says goodbye with only the empty retained message, and is forgotten', async () => {
    await expect(connector.forgetConnection(id)).rejects.toMatchObject({ status: 409 });
    await client.publish('', true);
    const connection = await api.untilConnection(id, ({ state }) => state === 'offline');
    expect(connection.offline_reason).toBe('handshake-removed');
    await client.mqtt.endAsync();
    await connector.forgetConnection(id);
    await expect(connector.getConnection(id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('a client that publishes invalid messages', () => {
  it('gets a handshake-error for an invalid handshake, and does not affect other clients', async () => {
    const client = await TestClient.connect(mosquitto.url, 'wrong-1');
    const other = await TestClient.connect(mosquitto.url, 'wrong-2');
    await client.publish('not json', false);
    await client.publish(envelope('no-such-type'), false);
    await client.publish(
      envelope('host-handshake', { message_id: 'empty-facts', payload: { canonical_facts: {} } }),
      true,
    );
    // Of several refusals within a second only the newest one is answered: wait for the first answer.
    await client.waitFor('the first answer', ({ in_response_to }) => in_response_to === 'empty-facts');
    await client.publish(
      envelope('host-handshake', { message_id: 'live', payload: { canonical_facts: { fqdn: 'a' } } }),
      false,
    );
    await other.shakeHandsAsProxy();
    await api.untilConnection('wrong-2', ({ state, type }) => state === 'online' && type === 'proxy');
    const notRetained = await client.waitFor('the answer', ({ in_response_to }) => in_response_to === 'live');
    expect(notRetained.payload).toEqual({
      reason: 'not-retained',
      details: 'a handshake must be retained: publish it again with the retain flag set',
    });
    const answers = client.distinct.filter(({ type }) => type === 'handshake-error');
    expect(answers.map(({ in_response_to }) => in_response_to)).toEqual(['empty-facts', 'live']);
    expect((await api.connection('wrong-1')).status).toBe(404);
    client.vanish();
    other.vanish();
  });
});

describe('a client that is connected but has not subscribed', () => {
  it('has its messages held until it subscribes', async () => {
    const client = await TestClient.connect(mosquitto.url, 'deaf');
    await client.mqtt.unsubscribeAsync('redhat/insights/out/deaf');
    await client.shakeHands();
    await api.untilConnection('deaf', ({ state }) => state === 'online');
    const { body } = await api.send('deaf', { directive: 'test:deaf' });
    await api.untilStatus(body.message_id, 'held');
    await client.mqtt.subscribeAsync('redhat/insights/out/deaf', { qos: 1 });
    await client.waitFor('the message', ({ message_id }) => message_id === body.message_id);
    await api.untilStatus(body.message_id, 'sent');
    client.vanish();
  });

  it('receives a held message as soon as it subscribes and shakes hands, whatever the back-off', async () => {
    const client = await TestClient.connect(mosquitto.url, 'late-ear');
    await client.mqtt.unsubscribeAsync('redhat/insights/out/late-ear');
    await client.shakeHands();
    await api.untilConnection('late-ear', ({ state }) => state === 'online');
    const { body } = await api.send('late-ear', { directive: 'test:late' });
    const { status_history: before } = await api.untilStatus(body.message_id, 'held');
    const key = new RegistryKeys('cc').message(shardOf('late-ear', 32), body.message_id);
    // After ten tries the wait for the next one is the longest.
    await onStore(store, (redis) => changeStoredMessage(redis, key, { attempts: '10' }));
    await waitUntil(async () => {
      const { body: now } = await api.call<MessageView>('GET', `/v1/messages/${body.message_id}`);
      if (now.status !== 'held' || now.status_history.length <= before.length) throw new Error(JSON.stringify(now));
    });
    await client.mqtt.subscribeAsync('redhat/insights/out/late-ear', { qos: 1 });
    await client.shakeHands();
    await client.waitFor('the message', ({ message_id }) => message_id === body.message_id);
    await api.untilStatus(body.message_id, 'sent');
    client.vanish();
  });
});

describe('the REST API', () => {
  it('answers an unknown client with 404 problem+json that carries the request id', async () => {
    const { status, body, headers } = await api.call<ProblemView>(
      'POST',
      '/v1/connections/nobody/messages',
      { directive: 'x' },
      { 'x-request-id': 'request-7' },
    );
    expect(status).toBe(404);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(headers.get('x-request-id')).toBe('request-7');
    expect(body).toMatchObject({
      type: 'urn:cloud-connector:problem:unknown-connection',
      status: 404,
      request_id: 'request-7',
    });
  });

  it.each([
    ['malformed JSON', '{"directive"', 400, undefined],
    ['a blank directive', { directive: ' ' }, 422, '/directive'],
    ['a time to live of 0', { directive: 'x', ttl_seconds: 0 }, 422, '/ttl_seconds'],
    ['a misspelt member', { directive: 'x', ttl: 5 }, 422, '/ttl'],
    ['a payload that is too large', { directive: 'x', payload: 'x'.repeat(1_048_577) }, 413, undefined],
  ])('refuses %s and names the member', async (_what, body, status, pointer) => {
    const answer = await api.call<ProblemView>('POST', '/v1/connections/nobody/messages', body);
    expect(answer.status).toBe(status);
    expect(answer.body.errors?.[0]?.pointer).toBe(pointer);
  });

  it('returns the first answer to a repeated Idempotency-Key, and refuses it with another body', async () => {
    const client = await TestClient.connect(mosquitto.url, 'idem');
    await client.shakeHands();
    await api.untilConnection('idem', ({ state }) => state === 'online');
    const key = { idempotencyKey: 'once' };
    const first = await connector.sendMessage('idem', { directive: 'test:once' }, key);
    expect(await connector.sendMessage('idem', { directive: 'test:once' }, key)).toEqual(first);
    const other = connector.sendMessage('idem', { directive: 'test:other' }, key);
    await expect(other).rejects.toMatchObject({ status: 422, kind: 'idempotency-mismatch' });
    const marker = await connector.sendMessage('idem', { directive: 'test:marker' });
    await client.waitFor('the marker', ({ message_id }) => message_id === marker.message_id);
    expect(client.distinct.map(({ directive }) => directive)).toEqual(['test:once', 'test:marker']);
    client.vanish();
  });

  it('sends a payload to the client as the caller wrote it, in a single message and in a batch', async () => {
    const client = await TestClient.connect(mosquitto.url, 'verbatim');
    await client.shakeHands();
    await api.untilConnection('verbatim', ({ state }) => state === 'online');
    const payload =
      '{ "b": 9007199254740993, "1": 1.0, "a": [1e400, -0.0, 12345678901234567890.123456789], "é": "\\u00e9" }';
    const alone = await api.send('verbatim', `{"directive": "test:alone", "payload": ${payload}}`);
    await client.waitFor('the message', ({ message_id }) => message_id === alone.body.message_id);
    const item = `{"client_id": "verbatim", "payload": ${payload}, "directive": "test:batch"}`;
    expect((await api.call('POST', '/v1/messages', `{"messages": [${item}]}`)).status).toBe(200);
    await client.waitFor('the message of the batch', ({ directive }) => directive === 'test:batch');
    expect(client.distinct).toHaveLength(2);
    for (const text of client.texts) expect(text).toContain(`"payload":${payload}`);
    client.vanish();
  });

  it('cancels a held message, and refuses to cancel a finished one', async () => {
    const client = await TestClient.connect(mosquitto.url, 'cancel');
    await client.shakeHands();
    await api.untilConnection('cancel', ({ state }) => state === 'online');
    client.vanish();
    await api.untilConnection('cancel', ({ state }) => state === 'offline');
    const { message_id } = await connector.sendMessage('cancel', { directive: 'test:cancel' });
    await connector.cancelMessage(message_id);
    await expect(connector.cancelMessage(message_id)).rejects.toMatchObject({ status: 409, kind: 'conflict' });
    expect((await connector.readMessage(message_id)).status).toBe('cancelled');
  });

  it('answers a request that waits as soon as its message is final', async () => {
    const client = await TestClient.connect(mosquitto.url, 'waits');
    await client.shakeHands();
    await api.untilConnection('waits', ({ state }) => state === 'online');
    const sent = api.send('waits', { directive: 'test:wait' }, { prefer: 'wait=60' });
    const { message_id } = await client.waitFor('the message', ({ directive }) => directive === 'test:wait');
    await client.reportError(message_id, 'no such directive');
    const { status, body } = await sent;
    expect([status, body.message_id, body.status]).toEqual([200, message_id, 'failed']);
    const read = await connector.readMessage(message_id, { prefer: 'wait=60', timeoutMs: 70_000 });
    expect(read).toEqual(body);
    client.vanish();
  });

  it('answers each item of a batch, and sends the messages of one client in order', async () => {
    const client = await TestClient.connect(mosquitto.url, 'batch');
    await client.shakeHands();
    await api.untilConnection('batch', ({ state }) => state === 'online');
    const good = Array.from({ length: 60 }, (_, n) => ({
      client_id: 'batch',
      directive: 'test:batch',
      payload: { n },
    }));
    const bad = [
      { client_id: 'nobody', directive: 'x' },
      { client_id: 'a/b', directive: 'x' },
      { client_id: 'batch', directive: ' ' },
      { client_id: 'batch', directive: 'x', payload: 'x'.repeat(1_048_577) },
      'no object' as unknown as MessageToSend,
      { client_id: 'batch', directive: 'test:key', idempotency_key: 'k' },
      { client_id: 'batch', directive: 'test:other', idempotency_key: 'k' },
    ];
    const results = await connector.sendMessages([...good, ...bad]);
    const last = results.slice(good.length);
    expect(last.map((one) => one.status)).toEqual([404, 422, 422, 413, 422, 202, 422]);
    expect(last[1]?.problem?.errors?.map(({ pointer }) => pointer)).toEqual(['/client_id']);
    const ids = results.filter((one) => one.status === 202).map(({ message }) => message?.message_id ?? '');
    await api.untilStatus(ids.at(-1) ?? '', 'sent');
    expect(client.distinct.map(({ message_id }) => message_id)).toEqual(ids);

    const page = await connector.listMessages('batch', { status: 'sent', limit: 61 });
    expect(page.data.map(({ message_id }) => message_id)).toEqual(ids.toReversed());
    expect(page.next_cursor).toBeNull();
    const none = connector.listMessages('nobody');
    await expect(none).rejects.toMatchObject({ status: 404, kind: 'unknown-connection' });
    client.vanish();
  });

  it.each([
    ['no messages', { messages: [] }, 422],
    ['more than a thousand messages', { messages: Array.from({ length: 1001 }, () => ({})) }, 422],
    ['a list instead of an object', [], 422],
  ])('refuses a batch with %s', async (_, body, status) => {
    const answer = await api.call<ProblemView>('POST', '/v1/messages', body);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json; charset=utf-8',
    ]);
  });

  it('counts connections by state and type', async () => {
    const { total, online, offline } = await connector.summarizeConnections();
    expect(total).toBeGreaterThan(0);
    expect(total).toBe(online.total + offline.total);
  });

  it('pages through all connections with a cursor', async () => {
    const seen: string[] = [];
    for await (const { client_id } of connector.connections({ limit: 1 })) seen.push(client_id);
    const { total } = await connector.summarizeConnections();
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toHaveLength(total);
  });
});
