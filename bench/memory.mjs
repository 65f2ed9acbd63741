/**
 * `npm run bench -- memory [--connections 25000] [--clients 5000] [--messages 4] [--rest 30] [--json FILE]`
 *
 * What Redis and the three processes hold, on a whole system with the default settings.
 *
 * 1. Handshakes of 25,000 hosts, with UUIDs as ids and five facts each. Then nothing happens for 30 seconds: the system is at rest.
 * 2. Some clients go offline, and each gets messages with a payload of 120 bytes: they are held.
 * 3. These clients come back and take their messages: they are finished.
 * 4. They get as many again, with a response timeout: these are sent, and await an answer that does not come.
 *
 * After each step the bytes of all keys (`MEMORY USAGE`) are added up by kind and compared with those of the step before it,
 * and so is `used_memory`, which also has what no key accounts for. Streams, mailboxes and what is remembered of deliveries
 * have bounds of their own and are not part of a connection or a message; they are printed beside it.
 *
 * `--json` writes `connection_bytes`, `held_message_bytes`, `finished_message_bytes`, `awaiting_message_bytes` and
 * `rss_mib_at_rest`, with the memory of each process.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import mqtt from 'mqtt';
import { Pool } from 'undici';
import { SetupError } from '../scripts/setup.mjs';
import { startStack, waitUntil } from '../scripts/stack.mjs';
import { inParallel, sendTo, untilOnline } from './devices.mjs';
import { machine, metric, rssMiB } from './measure.mjs';
import { keyUsage, usageOf } from './memory-usage.mjs';

const PAYLOAD_BYTES = 120;
const PAYLOAD = { text: 'x'.repeat(PAYLOAD_BYTES - JSON.stringify({ text: '' }).length) };

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '25000' },
      clients: { type: 'string', default: '5000' },
      messages: { type: 'string', default: '4' },
      rest: { type: 'string', default: '30' },
      json: { type: 'string' },
    },
  });
  const [connections, clients, each] = [Number(values.connections), Number(values.clients), Number(values.messages)];
  if (clients > connections)
    throw new SetupError(`--clients ${clients} is more than --connections ${connections}: name fewer`);
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const env = { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn' };
  const stack = await startStack({ dir, env, sourceMaps: false });
  const redis = new Redis(stack.redis.url);
  const device = await mqtt.connectAsync(stack.mosquitto.url, { protocolVersion: 5 });
  const pool = new Pool(stack.gateway.url, { connections: 4 });
  console.log(`${machine()}, ${/redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? ''} of Redis`);
  try {
    const atStart = await keyUsage(redis);
    const all = Array.from({ length: connections }, (_, i) => uuidOf('c11e', i));
    await changeState(device, all, 'host-handshake');
    await untilOnline(stack.gateway.url, connections);
    await sleep(Number(values.rest) * 1000);
    const connected = await keyUsage(redis);
    const connection = usageOf(`a connection, of ${connections}`, atStart, connected, connections);
    const memory = await memoryOf(stack);

    const ids = all.slice(0, clients);
    await changeState(device, ids, 'offline');
    await untilOnline(stack.gateway.url, connections - clients);
    const before = await keyUsage(redis);
    const messages = clients * each;
    await sendTo(pool, ids, each, { payload: PAYLOAD });
    const held = usageOf(`a held message, of ${messages}`, before, await keyUsage(redis), messages);

    await device.subscribeAsync('redhat/insights/out/+', { qos: 1 });
    await changeState(device, ids, 'host-handshake');
    await untilFinished(redis, messages);
    const sent = await keyUsage(redis);
    const finished = usageOf(`a finished message, of ${messages}`, before, sent, messages);
    await sendTo(pool, ids, each, { payload: PAYLOAD, response_timeout_seconds: 86_400 });
    await untilAwaiting(redis, messages);
    const awaiting = usageOf(`a message that awaits its answer, of ${messages}`, sent, await keyUsage(redis), messages);
    const figures = {
      connection_bytes: connection,
      held_message_bytes: held,
      finished_message_bytes: finished,
      awaiting_message_bytes: awaiting,
      ...memory,
    };
    console.table(figures);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  } finally {
    await Promise.all([pool.close(), device.endAsync(), redis.quit()]);
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @typedef {Awaited<ReturnType<typeof startStack>>} Stack */

/** Resident memory of each app, and how much of it is Node's heap. @param {Stack} stack */
async function memoryOf({ ingester, gateway, dispatcher }) {
  const apps = { ingester, gateway, dispatcher };
  /** @type {Record<string, Record<string, number>>} */
  const table = {};
  for (const [name, { pid, url }] of Object.entries(apps)) {
    const mib = async (/** @type {string} */ of) => Math.round((await metric(url, of)) / 2 ** 20);
    table[name] = {
      'RSS MiB': Math.round(rssMiB(pid)),
      'heap MiB': await mib('nodejs_heap_size_total_bytes'),
      'heap used MiB': await mib('nodejs_heap_size_used_bytes'),
      'outside the heap MiB': await mib('nodejs_external_memory_bytes'),
    };
  }
  console.table(table);
  const sizes = Object.values(table).map((one) => one['RSS MiB'] ?? NaN);
  return {
    rss_mib_at_rest: sizes.reduce((sum, one) => sum + one, 0),
    ...Object.fromEntries(Object.keys(table).map((name, i) => [`rss_mib_${name}`, sizes[i] ?? NaN])),
  };
}

/** A UUID with a number at its end. @param {string} kind four digits @param {number} n */
function uuidOf(kind, n) {
  return `6e0a4f6c-${kind}-4d70-b475-${String(n).padStart(12, '0')}`;
}

/** As different as the facts of real hosts. @param {number} n */
function factsOf(n) {
  return {
    insights_id: uuidOf('1151', n),
    machine_id: uuidOf('3ac1', n),
    fqdn: `host-${n}.example.com`,
    ip_addresses: [`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`],
    mac_addresses: [
      `52:54:00:${[n >> 16, n >> 8, n].map((byte) => (byte & 255).toString(16).padStart(2, '0')).join(':')}`,
    ],
  };
}

/** @param {mqtt.MqttClient} device @param {string[]} ids @param {'offline' | 'host-handshake'} type */
async function changeState(device, ids, type) {
  await inParallel(ids.length, 100, async (i) => {
    const envelope = { type, message_id: randomUUID(), version: 1, sent: '2026-01-01T00:00:00+00:00' };
    const text = JSON.stringify(
      type === 'offline' ? envelope : { ...envelope, payload: { canonical_facts: factsOf(i) } },
    );
    await device.publishAsync(`redhat/insights/in/${ids[i] ?? ''}`, text, { qos: 1, retain: true });
  });
}

/** @param {Redis} redis @param {number} count */
async function untilFinished(redis, count) {
  await untilCounted(redis, count, 'finished', async (shard) =>
    Number((await redis.get(`cc:{s${shard}}:finished-count`)) ?? 0),
  );
}

/** @param {Redis} redis @param {number} count */
async function untilAwaiting(redis, count) {
  await untilCounted(redis, count, 'sent', (shard) => redis.zcard(`cc:{s${shard}}:awaiting`));
}

/** @param {Redis} redis @param {number} count @param {string} what @param {(shard: number) => Promise<number>} countOf */
async function untilCounted(redis, count, what, countOf) {
  const shards = Number(await redis.hget('cc:marker', 'shard_count'));
  await waitUntil(
    async () => {
      const counts = await Promise.all(Array.from({ length: shards }, (_, shard) => countOf(shard)));
      const counted = counts.reduce((sum, one) => sum + one, 0);
      if (counted < count) throw new Error(`${counted} of ${count} are ${what}`);
    },
    { what: `${count} messages ${what}`, timeoutMs: 60_000 },
  );
}
