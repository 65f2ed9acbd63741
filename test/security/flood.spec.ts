/** A client that floods is throttled; other clients do not wait for it, and its connection is right in the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { DeadLetterPageBody } from '../../apps/api-gateway/src/cluster/dead-letter.dto.js';
import { Api } from '../support/api.js';
import { TestClient, envelope } from '../support/mqtt-client.js';

const BURST = 50;
const RATE = 20;
const FLOOD = 20_000;
/** Most handshakes of one flood. */
const AT_MOST = 20 * FLOOD;
/** Publishes in flight at the same time. */
const AT_ONCE = 500;

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-flood-'));
const env = { LOG_LEVEL: 'error', CLIENT_RATE: `${RATE}`, CLIENT_BURST: `${BURST}` };
let stack: Awaited<ReturnType<typeof startStack>>;
let api: Api;

beforeAll(async () => {
  stack = await startStack({ dir, env });
  api = new Api(stack.gateway.url);
  // A sweep during the flood would correct what the flood leaves behind: wait until the first one has ended.
  await api.untilBuilt();
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

function shake(client: TestClient, id: string): Promise<void> {
  const facts = { canonical_facts: { fqdn: client.id } };
  return client.publish(envelope('host-handshake', { message_id: id, payload: facts }), true);
}

/**
 * Sends handshakes as fast as the broker accepts them: at least FLOOD, and more while `more()`. Calls `after` when one was
 * accepted. @returns the message id of the last one
 */
async function flood(client: TestClient, after: (sent: number) => void, more = () => false): Promise<string> {
  let next = 0;
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (next < FLOOD || (next < AT_MOST && more())) {
      await shake(client, `flood-${next++}`);
      after(++sent);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return `flood-${next - 1}`;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${stack.ingester.url}/metrics`)).text();
  return Number(new RegExp(`^cloud_connector_${name} (\\d+)`, 'm').exec(text)?.[1]);
}

async function deadLetters(clientId: string): Promise<DeadLetterPageBody['data']> {
  const { body } = await api.call<DeadLetterPageBody>('GET', '/v1/cluster/dead-letters?limit=200');
  return body.data.filter(({ client_id, reason }) => client_id === clientId && reason === 'flood');
}

it('the ingester throttles a flood, keeps dead letters of it, and ends with the state that the broker retains', async () => {
  const flooder = await TestClient.connect(stack.mosquitto.url, 'flooder');
  const others = await Promise.all(
    Array.from({ length: 20 }, (_, i) => TestClient.connect(stack.mosquitto.url, `calm-${i}`)),
  );
  let sent = 0;
  let waiting = true;
  const flooding = flood(
    flooder,
    (count) => (sent = count),
    () => waiting,
  );
  await waitUntil(() => expect(sent).toBeGreaterThan(FLOOD / 20));
  for (const other of others) await other.shakeHands();
  for (const other of others) await api.untilConnection(other.id, ({ state }) => state === 'online');
  // They came online during the flood.
  expect(sent).toBeLessThan(AT_MOST);
  waiting = false;
  const last = await flooding;
  // The last handshake was almost certainly throttled.
  await api.untilConnection(flooder.id, (it) => it.handshake_message_id === last);
  expect(await metric('intake_throttled_messages_total')).toBeGreaterThan(FLOOD / 2);
  const letters = await deadLetters(flooder.id);
  expect(letters.length).toBeGreaterThan(0);
  expect(letters.length).toBeLessThan(50);
  expect(letters[0]?.details).toContain(`${RATE} messages a second`);
  expect(letters[0]?.sample).toContain('host-handshake');

  // The client is throttled, not blocked.
  const { body } = await api.send(flooder.id, { directive: 'test:after' });
  await flooder.waitFor('a message', ({ message_id }) => message_id === body.message_id);
  for (const client of [flooder, ...others]) await client.sayGoodbye();
});

it('the connection ends with the last handshake also if the ingester is killed during the flood', async () => {
  const flooder = await TestClient.connect(stack.mosquitto.url, 'flooder-2');
  const killed: Promise<unknown>[] = [];
  const last = await flood(flooder, (sent) => {
    if (sent === FLOOD / 2) killed.push(stack.ingester.kill());
  });
  await Promise.all(killed);
  expect(killed).toHaveLength(1);
  const own = { REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url };
  stack.ingester = await startApp('status-ingester', { dir, env: { ...env, ...own }, name: 'second-ingester' });
  await api.untilConnection(flooder.id, (it) => it.handshake_message_id === last);
  flooder.vanish();
  await api.untilConnection(flooder.id, ({ state }) => state === 'offline');
});
