/**
 * `npm run demo`: the main job on a private system, step by step. Exits with 0 only if every step had the expected result.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms } from './setup.mjs';
import { startStack, waitUntil } from './stack.mjs';

const started = performance.now();
let ok = false;
try {
  ensurePackages('run');
  ensurePrograms(SERVERS);
  ensureBuild();
  await demo();
  ok = true;
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
}
console.log(ok ? '\nEvery step had the expected result.' : '\nThe demo failed.');
process.exit(ok ? 0 : 1);

/** @param {string} what */
function report(what) {
  console.log(`${((performance.now() - started) / 1000).toFixed(2).padStart(7)} s  ${what}`);
}

async function demo() {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-demo-'));
  report('starting a private Redis, Mosquitto, gateway, ingester and dispatcher');
  // Each change is an event of its own: at the end the events are read back and compared one by one.
  const stack = await startStack({ dir, env: { EVENT_SETTLE: '0s' } });
  report(`all are ready; the API is at ${stack.gateway.url}`);
  try {
    await story(stack.gateway.url, stack.mosquitto.url);
  } finally {
    report('stopping everything');
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @param {string} api @param {string} broker */
async function story(api, broker) {
  const { Device, demoWork } = await import('../examples/device/device.mjs');
  /** @type {typeof import('../libs/client/src/index.js')} */
  const { CloudConnector } = await import(new URL('../dist/client/index.js', import.meta.url).href);
  const connector = new CloudConnector({ baseUrl: api });
  const beginning = await eventsUntilNow(api);
  /** @type {{ directive: string, payload?: unknown }[]} */
  const atHost = [];
  /** @type {typeof atHost} */
  const atProxy = [];
  const hostOptions = {
    id: 'demo-host',
    url: broker,
    onMessage: (/** @type {any} */ message, /** @type {any} */ progress, /** @type {AbortSignal} */ stopping) => {
      atHost.push(message);
      return message.directive === 'demo:work' ? demoWork(message, progress, stopping) : { got: message.payload };
    },
  };
  let host = new Device({ ...hostOptions, protocolVersion: 4 });
  const proxy = new Device({
    id: 'demo-proxy',
    url: broker,
    proxy: true,
    onMessage: (message) => {
      atProxy.push(message);
      if (message.directive === 'catalog:order') throw new Error('this proxy has no catalog');
    },
  });

  await untilConnection('demo-host', { state: 'online', type: 'host' });
  report('a host (MQTT 3.1.1) has sent its handshake and is online');
  await untilConnection('demo-proxy', { state: 'online', type: 'proxy' });
  report('a proxy (MQTT 5) has sent its handshake and is online');

  const ping = await send('demo-host', 'demo:ping', { hello: 'host' });
  const arrived = await until(() => atHost[0], 'the message at the host');
  expect(arrived.directive === 'demo:ping', 'the host received another directive');
  const { answer } = await untilStatus(ping, 'answered');
  report(`the host received ${arrived.directive} ${JSON.stringify(arrived.payload)}, and answered`);
  expect(answer.payload.got.hello === 'host', `the answer is ${JSON.stringify(answer)}`);

  /** @type {(number | null)[]} */
  const percents = [];
  const onProgress = (/** @type {{ percent: number | null }} */ { percent }) => void percents.push(percent);
  const work = { directive: 'demo:work', payload: { steps: 4 } };
  const done = await connector.call('demo-host', work, { timeoutMs: 20_000, onProgress });
  expect(/** @type {any} */ (done).steps === 4, `the call resolved with ${JSON.stringify(done)}`);
  expect(percents.length > 0, 'the host reported no progress');
  report(`a call: the host reported ${percents.join(', ')} %, and answered ${JSON.stringify(done)}`);

  const order = await send('demo-proxy', 'catalog:order', { item: 7 });
  const failed = await untilStatus(order, 'failed');
  expect(atProxy.length === 1, 'the proxy did not receive its message once');
  const details = failed.status_history.at(-1).details;
  expect(details === 'this proxy has no catalog', `the details are ${details}`);
  report(`the proxy replied with message-error; the message is failed: "${details}"`);

  await call('POST', '/v1/connections/demo-proxy/force-disconnect', { reconnect_after: 'PT3S' }, 202);
  const off = await untilConnection('demo-proxy', { state: 'offline' });
  report(`the proxy was forced off (${off.offline_reason}) and may come back at ${off.refused_until}`);

  host.client.stream.destroy();
  host.client.end(true);
  const lost = await untilConnection('demo-host', { state: 'offline' });
  report(`the host lost its connection without a goodbye; its last will took it offline (${lost.offline_reason})`);

  const held = await send('demo-host', 'demo:held', { kept: true });
  await untilStatus(held, 'held');
  report('a message to the absent host is held');

  host = new Device(hostOptions);
  await untilConnection('demo-host', { state: 'online' });
  await until(() => atHost.find(({ directive }) => directive === 'demo:held'), 'the held message');
  await untilStatus(held, 'answered');
  report('the host is back (MQTT 5), received the held message, and answered');

  /** @type {string[]} */
  const lines = [];
  const early = new Device({ id: 'demo-proxy', url: broker, proxy: true, log: (line) => void lines.push(line) });
  const refusal = await until(() => lines.find((line) => line.startsWith('handshake refused')), 'the refusal');
  await early.stop();
  report(`another client with its id came too early: ${refusal}`);
  await untilConnection('demo-proxy', { state: 'online' });
  report('the proxy came back by itself after its refusal window');

  const batch = await connector.sendMessages(
    [0, 1, 2, 3, 4, 5].map((n) => ({
      client_id: n % 2 === 0 ? 'demo-host' : 'demo-proxy',
      directive: 'demo:batch',
      payload: n,
    })),
  );
  const accepted = batch.map(({ message }) => message?.message_id ?? '');
  const ends = await Promise.all(accepted.map((id) => connector.waitForMessage(id)));
  expect(
    ends.every(({ status }) => status === 'sent' || status === 'answered'),
    'a message of the batch was not sent',
  );
  await until(() => atProxy.length === 4 && atHost.at(-1)?.payload === 4, 'the batch at both clients');
  const arrivals = [...atHost.slice(-3), ...atProxy.slice(-3)].map(({ payload }) => payload);
  expect(arrivals.join() === '0,2,4,1,3,5', `the batch arrived as ${arrivals.join()}`);
  report('a batch of six in one request: each of the two clients received its three in order');

  await Promise.all([host.stop(), proxy.stop()]);
  await untilConnection('demo-host', { state: 'offline' });
  await untilConnection('demo-proxy', { state: 'offline' });
  const { total } = (await call('GET', '/v1/connections/summary', undefined, 200)).online;
  expect(total === 0, `${total} connections are still online`);
  report('both said goodbye; no client is online');

  const events = await readBack(connector, beginning);
  const lives = ['demo-host', 'demo-proxy'].map((id) => lifeOf(id, events));
  const expected = ['online offline online offline', 'online offline refused online offline'];
  expect(lives.join() === expected.join(), `the events were ${lives.join(', ')}`);
  const ids = [ping, order, held, ...accepted];
  const courses = ids.map((id) => statusesOf(id, events));
  for (const [i, course] of courses.entries()) {
    const inOrder = /^(queued|held) in_flight( sent)?( failed| answered)?$/.test(course);
    expect(inOrder, `by its events message ${ids[i]} was ${course}`);
  }
  report(`${events.length} events were read back: two lives and ${ids.length} messages, each change in its order`);

  /** @param {string} method @param {string} path @param {unknown} body @param {number} status */
  async function call(method, path, body, status) {
    const response = await fetch(api + path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    expect(response.status === status, `${method} ${path} answered ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** @param {string} id @param {string} directive @param {unknown} payload */
  async function send(id, directive, payload) {
    const message = await call('POST', `/v1/connections/${id}/messages`, { directive, payload }, 202);
    return message.message_id;
  }

  /** @param {string} id @param {Record<string, string | null>} wanted */
  function untilConnection(id, wanted) {
    return until(
      async () => {
        const connection = await call('GET', `/v1/connections/${id}`, undefined, 200);
        return Object.entries(wanted).every(([name, value]) => connection[name] === value) && connection;
      },
      `${id} to be ${JSON.stringify(wanted)}`,
    );
  }

  /** @param {string} id @param {string} status */
  function untilStatus(id, status) {
    return until(async () => {
      const message = await call('GET', `/v1/messages/${id}`, undefined, 200);
      return message.status === status && message;
    }, `message ${id} to be ${status}`);
  }
}

/** The id behind which the events of what comes next are found. @param {string} api */
async function eventsUntilNow(api) {
  const { body } = await fetch(`${api}/v1/events`);
  let text = '';
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString();
    const id = /^id: (.+)\n/m.exec(text)?.[1];
    // Leaving the loop closes the stream.
    if (id !== undefined) return id;
  }
  throw new Error('the event stream ended before it began');
}

/**
 * All events about clients since then, up to the goodbye of both.
 * @param {import('../libs/client/src/index.js').CloudConnector} connector @param {string} lastEventId
 */
async function readBack(connector, lastEventId) {
  const events = [];
  let goodbyes = 0;
  for await (const event of connector.events({ lastEventId, signal: AbortSignal.timeout(15_000) })) {
    if ('client_id' in event) events.push(event);
    if (event.type === 'connection.offline' && event.reason === 'goodbye') goodbyes++;
    // The proxy said goodbye twice: the first time because of the force-disconnect.
    if (goodbyes === 3) break;
  }
  return events;
}

/** @param {string} id @param {import('../libs/client/src/index.js').ConnectorEvent[]} events */
function lifeOf(id, events) {
  const changes = events.filter((event) => 'client_id' in event && event.client_id === id);
  const names = changes.map(({ type }) => type.split('.')).filter(([about]) => about === 'connection');
  return names.map(([, change]) => change).join(' ');
}

/** @param {string} id @param {import('../libs/client/src/index.js').ConnectorEvent[]} events */
function statusesOf(id, events) {
  const changes = events.flatMap((event) => (event.type === 'message.status' ? [event] : []));
  return changes
    .filter(({ message_id }) => message_id === id)
    .map(({ status }) => status)
    .join(' ');
}

/** Resolves with the first truthy result. @template T @param {() => T | Promise<T>} get @param {string} what */
function until(get, what) {
  return waitUntil(
    async () => {
      const result = await get();
      if (!result) throw new Error('not yet');
      return result;
    },
    { what, timeoutMs: 15_000 },
  );
}

/** @param {boolean} holds @param {string} otherwise */
function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}
