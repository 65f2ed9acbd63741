/** The published client at a running system: every operation, and the methods that use several operations. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallError, CloudConnector, ProblemError, type ConnectorEvent, type Progress } from '@app/client';
import { Device, demoWork } from '../../examples/device/device.mjs';
import { startApp, startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { TestClient, envelope } from '../support/mqtt-client.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-client-'));
let stack: Awaited<ReturnType<typeof startStack>>;
let client: CloudConnector;

beforeAll(async () => {
  stack = await startStack({ dir, env: { EVENT_SETTLE: '0s' } });
  client = new CloudConnector({ baseUrl: stack.gateway.url });
  await new Api(stack.gateway.url).untilBuilt();
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Waits until the connection is in that state. */
async function untilState(id: string, state: 'online' | 'offline'): Promise<void> {
  await waitUntil(async () => expect((await client.getConnection(id)).state).toBe(state));
}

async function online(id: string): Promise<TestClient> {
  const device = await TestClient.connect(stack.mosquitto.url, id);
  await device.shakeHands();
  await untilState(id, 'online');
  return device;
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

it('sendMessage() and waitForMessage() send a message once, and resolve when it is sent', async () => {
  const device = await online('sent');
  const options = { idempotencyKey: 'once' };
  const accepted = await client.sendMessage('sent', { directive: 'test:sent', payload: { n: 1 } }, options);
  const message = await client.waitForMessage(accepted.message_id);
  expect(withoutGivenUpClaims(message.status_history.map(({ status }) => status))).toEqual(SENT);
  const again = await client.sendMessage('sent', { directive: 'test:sent', payload: { n: 1 } }, options);
  expect(again.message_id).toBe(accepted.message_id);
  expect(device.distinct.map(({ payload }) => payload)).toEqual([{ n: 1 }]);
});

it('waitForMessage() waits for a held message until it expires or is sent to the returned client', async () => {
  await (await online('held')).sayGoodbye();
  await untilState('held', 'offline');
  const short = await client.sendMessage('held', { directive: 'test:short', ttl_seconds: 1 });
  const kept = await client.sendMessage('held', { directive: 'test:kept' });
  const sent = client.waitForMessage(kept.message_id);
  expect((await client.waitForMessage(short.message_id)).status).toBe('expired');
  await online('held');
  expect((await sent).status).toBe('sent');
});

it('waitForMessage() waits for the answer to a message with a response timeout, which is unanswered without one', async () => {
  await online('silent');
  const [directive, response_timeout_seconds] = ['test:answer', 1];
  const { message_id } = await client.sendMessage('silent', { directive, response_timeout_seconds });
  const message = await client.waitForMessage(message_id);
  const sentAt = message.status_history.find(({ status }) => status === 'sent')?.at ?? '';
  expect(message).toMatchObject({ status: 'unanswered', answer: null, progress: null });
  expect(message.response_deadline).toBe(new Date(Date.parse(sentAt) + 1000).toISOString());
  const [result] = await client.sendMessages([{ client_id: 'silent', directive, response_timeout_seconds }]);
  expect((await client.waitForMessage(result?.message?.message_id ?? '')).status).toBe('unanswered');
});

it('sendMessages() sends a batch, and messages() and connections() list all pages', async () => {
  await online('batch-1');
  await online('batch-2');
  const directive = 'test:batch';
  const results = await client.sendMessages([
    ...Array.from({ length: 5 }, (_, n) => ({ client_id: 'batch-1', directive, payload: n })),
    { client_id: 'nobody', directive },
    { client_id: 'batch-2', directive },
  ]);
  expect(results.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202, 404, 202]);
  const listed = await collect(client.messages('batch-1', { limit: 2 }));
  expect(listed.map(({ message_id }) => message_id).toReversed()).toEqual(
    results.slice(0, 5).map(({ message }) => message?.message_id),
  );
  const ids = (await collect(client.connections({ limit: 1 }))).map(({ client_id }) => client_id);
  expect(ids).toEqual(expect.arrayContaining(['batch-1', 'batch-2']));
  expect((await client.summarizeConnections()).total).toBe(ids.length);
});

it('CloudConnector verifies a connection, disconnects it, lifts the refusal, cancels its message and forgets it', async () => {
  const device = await online('managed');
  expect(await client.verifyConnection('managed')).toMatchObject({ state: 'online', changed: false });
  await client.forceDisconnect('managed', 'never');
  await device.waitFor('force-disconnect', ({ type }) => type === 'force-disconnect');
  await device.sayGoodbye();
  await untilState('managed', 'offline');
  expect((await client.getConnection('managed')).refused_until).toBe('never');
  await client.liftRefusal('managed');
  expect((await client.getConnection('managed')).refused_until).toBeNull();
  const { message_id } = await client.sendMessage('managed', { directive: 'test:withdrawn' });
  await client.cancelMessage(message_id);
  expect((await client.readMessage(message_id)).status).toBe('cancelled');
  await client.forgetConnection('managed');
  await expect(client.getConnection('managed')).rejects.toMatchObject({ kind: 'unknown-connection', status: 404 });
});

it('CloudConnector throws a ProblemError with a pointer to the invalid member', async () => {
  const refused = await client.sendMessage('nobody', { directive: ' ' }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ProblemError);
  expect(refused).toMatchObject({ kind: 'invalid', errors: [{ pointer: '/directive' }] });
});

it('getCluster() shows the member that owns all shards', async () => {
  const { members, shards } = await client.getCluster();
  expect(members).toHaveLength(1);
  expect(new Set(shards.map(({ owner }) => owner))).toEqual(new Set([members[0]?.id]));
});

it('startSweep() starts a sweep that completes without a dead letter', async () => {
  await client.startSweep();
  const ended = { state: 'ended', trigger: 'request', complete: true };
  await waitUntil(async () => expect(await client.getLatestSweep()).toMatchObject(ended));
  expect(await collect(client.deadLetters())).toEqual([]);
});

it('events() resumes after a restart of the gateway, and neither loses nor repeats an event', async () => {
  await online('followed');
  const stopping = new AbortController();
  const received: ConnectorEvent[] = [];
  const following = (async () => {
    const events = client.events({ types: ['message.status'], clientId: 'followed', signal: stopping.signal });
    for await (const event of events) received.push(event);
  })();
  const send = async (): Promise<string> => (await client.sendMessage('followed', { directive: 'x' })).message_id;
  const statuses = (id: string): unknown[] =>
    withoutGivenUpClaims(
      received.flatMap((event) => (event.type === 'message.status' && event.message_id === id ? [event.status] : [])),
    );

  // The stream may open after the first message was accepted: repeat until it has all statuses of one.
  const first = await waitUntil(async () => {
    const id = await send();
    await client.waitForMessage(id);
    await waitUntil(() => expect(statuses(id)).toEqual(SENT), { timeoutMs: 500 });
    return id;
  });
  await stack.gateway.stop();
  const env = { REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url };
  await startApp('api-gateway', { dir, env, port: stack.gateway.port });
  const second = await send();
  await waitUntil(() => expect(statuses(second)).toContain('sent'));
  // A resumed stream repeats two seconds, even if the first stream was not open then; the client drops repeats.
  expect([statuses(first), statuses(second)]).toEqual([SENT, SENT]);
  stopping.abort();
  await following;
});

it('call() resolves with what the device answers, and tells how far it has come', async () => {
  const device = new Device({ id: 'called', url: stack.mosquitto.url, onMessage: demoWork });
  try {
    await untilState('called', 'online');
    const what = { directive: 'demo:ping', payload: { job: 7 } };
    expect(await client.call('called', what)).toEqual({ pong: { job: 7 } });
    const percents: (number | null)[] = [];
    const onProgress = ({ percent }: Progress): void => void percents.push(percent);
    expect(await client.call('called', { directive: 'demo:work', payload: { steps: 3 } }, { onProgress })).toEqual({
      steps: 3,
    });
    expect(percents).toEqual(percents.toSorted((a, b) => Number(a) - Number(b)));
    await expect(client.call('called', { directive: 'demo:dance' })).rejects.toThrow(/^the call of called failed/);
  } finally {
    await device.stop();
  }
});

it('call() rejects if the client does not answer in time, or is away', async () => {
  const device = await online('silent');
  await expect(client.call('silent', { directive: 'test:silent' }, { timeoutMs: 1000 })).rejects.toBeInstanceOf(
    CallError,
  );
  await device.sayGoodbye();
  await untilState('silent', 'offline');
  await expect(client.call('silent', { directive: 'test:away' }, { timeoutMs: 1000 })).rejects.toMatchObject({
    name: 'CallError',
    details: 'no answer within 1 s, because the client is offline',
  });
});

it('clientMessages() iterates over what clients say first', async () => {
  const device = await online('speaks');
  const stop = new AbortController();
  const said: unknown[] = [];
  const listening = (async () => {
    for await (const { client_id, directive, payload } of client.clientMessages({ signal: stop.signal })) {
      said.push({ client_id, directive, payload });
    }
  })();
  await waitUntil(async () => {
    await device.publish(envelope('message', { directive: 'spec:hello', payload: { n: 1 } }), false);
    expect(said.length).toBeGreaterThan(0);
  });
  stop.abort();
  await listening;
  expect(said[0]).toEqual({ client_id: 'speaks', directive: 'spec:hello', payload: { n: 1 } });
});
