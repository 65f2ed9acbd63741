/** Payloads and topics that no client should send, against a running ingester. `FUZZ_SEED` replays a run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectAsync, type MqttClient } from 'mqtt';
import { clientIdProblem, parseInbound } from '@app/protocol';
import { rssMiB } from '../../bench/measure.mjs';
import { startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { readRetained } from '../agreement/retained-store.js';
import { Api } from '../support/api.js';
import { SEED, countOr, draw } from './hostile.js';
import { packets, type Packet } from './packets.js';

/** More than the dead letters and events of all shards may hold. */
const COUNT = countOr(100_000);
const CLIENTS = 40;
/** Publishes under way. */
const AT_ONCE = 400;

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-fuzz-'));
let stack: Awaited<ReturnType<typeof startStack>>;
let api: Api;
let clients: MqttClient[];

beforeAll(async () => {
  process.stdout.write(`FUZZ_SEED=${SEED}\n`);
  const unlimited = { CLIENT_BURST: '1000000', CLIENT_BYTES_RATE: '1073741824' };
  stack = await startStack({ dir, env: { LOG_LEVEL: 'error', MAX_INBOUND_BYTES: '4096', ...unlimited } });
  api = new Api(stack.gateway.url);
  const ids = Array.from({ length: CLIENTS }, (_, i) => `fuzz-${i}`);
  clients = await Promise.all(
    ids.map((clientId) => connectAsync(stack.mosquitto.url, { protocolVersion: 5, clientId })),
  );
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  await stopAll();
  rmSync(dir, { recursive: true });
});

it(`the ingester takes ${COUNT} packets in, and its memory stays flat`, async () => {
  const memory: number[] = [];
  let sent = 0;
  const source = draw(packets(CLIENTS), COUNT);
  const worker = async (): Promise<void> => {
    for (const packet of source) {
      await publish(packet);
      if (++sent % Math.ceil(COUNT / 10) === 0) memory.push(rssMiB(stack.ingester.pid));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(sent).toBe(COUNT);
  await drained();
  for (const part of [stack.gateway, stack.ingester, stack.dispatcher]) expect(part.running).toBe(true);
  // On a machine that was stalled, a lease may have to be taken again.
  await waitUntil(ready, { what: 'the ingester is ready' });
  const [early = NaN] = memory.slice(4);
  // The young generation alone may still grow by some 100 MiB.
  expect(memory.at(-1)).toBeLessThan(early * 1.3 + 120);
}, 1_200_000);

it('the registry agrees with the broker on every client afterwards', async () => {
  const retained = await readRetained(stack.mosquitto.url);
  await waitUntil(
    async () => {
      const held = new Map((await api.connections()).map((one) => [one.client_id, one]));
      for (const [id, text] of retained) {
        // A text that is not a client id belongs to no client.
        if (clientIdProblem(id) !== undefined && !held.has(id)) continue;
        const parsed = parseInbound(text);
        const handshake = parsed.ok && /-handshake$/.test(parsed.message.type) ? parsed.message.message_id : undefined;
        const one = held.get(id);
        const is = one?.state === 'online' ? one.handshake_message_id : undefined;
        // A goodbye that is not retained takes effect at once, whatever is still retained.
        if (is !== handshake && one?.offline_reason !== 'goodbye')
          throw new Error(`${id}: the broker says ${handshake}, the registry ${is}: ${text}`);
      }
      for (const [id, { state }] of held) {
        if (state === 'online' && !retained.has(id)) throw new Error(`${id} is online, and nothing is retained for it`);
      }
    },
    { what: 'agreement' },
  );
  expect(retained.size).toBeGreaterThan(CLIENTS / 2);
});

it('every dead letter has a reason of its own, and none is an internal error', async () => {
  const metrics = await (await fetch(`${stack.ingester.url}/metrics`)).text();
  const reasons = Array.from(metrics.matchAll(/^cloud_connector_dead_letters_total\{reason="([^"]*)"\} (\d+)/gm));
  const counts = Object.fromEntries(reasons.map(([, reason = '', count]) => [reason, Number(count)]));
  expect(counts['internal-error']).toBe(0);
  for (const reason of ['not-json', 'not-utf8', 'too-large', 'too-deep', 'wrong-shape', 'unknown-type', 'not-retained'])
    expect({ reason, seen: (counts[reason] ?? 0) > 0 }).toEqual({ reason, seen: true });
});

it('the apps write under their own keys only, and dead letters and events stay bounded', async () => {
  const redis = new Redis(stack.redis.url);
  const keys = await redis.keys('*');
  expect(
    keys.filter((key) => !/^cc:(\{(s\d+|lane\d+|cluster|dispatchers|gateways|queue|maintenance)\}:|marker$)/.test(key)),
  ).toEqual([]);
  for (const key of keys.filter((one) => one.endsWith(':dead-letters')))
    expect(await redis.xlen(key)).toBeLessThan(2000);
  for (const key of keys.filter((one) => one.endsWith(':events'))) expect(await redis.xlen(key)).toBeLessThan(12_000);
  redis.disconnect();
});

async function publish({ client, level, retain, payload }: Packet): Promise<void> {
  const topic = `redhat/insights/in/${level ?? `fuzz-${client}`}`;
  // A packet that MQTT.js itself refuses has not reached the broker.
  await clients[client]?.publishAsync(topic, payload, { qos: 1, retain }).catch((error: unknown) => {
    if (!(error instanceof Error && error.message === 'Invalid topic')) throw error;
  });
}

async function ready(): Promise<void> {
  const response = await fetch(`${stack.ingester.url}/health/ready`);
  if (response.status !== 200) throw new Error(await response.text());
}

async function drained(): Promise<void> {
  await waitUntil(
    async () => {
      const metrics = await (await fetch(`${stack.ingester.url}/metrics`)).text();
      const depth = Number(/^cloud_connector_mailbox_depth (\d+)/m.exec(metrics)?.[1]);
      if (depth !== 0) throw new Error(`${depth} entries wait`);
    },
    { what: 'empty mailboxes' },
  );
}
