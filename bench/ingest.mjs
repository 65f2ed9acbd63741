/**
 * `npm run bench -- ingest [--messages 200000] [--clients 20000]`
 *
 * The floor: MQTT.js taking QoS 1 messages out of a persistent session. Ours: the same messages out of a lane's
 * session until their effect is committed and visible in the registry. Each is measured from a session that was
 * filled while nobody was connected, so that the load does not compete with what is measured.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis } from '../scripts/stack.mjs';
import { ask, cpuSeconds, forkScript, machine, metric, rssMiB, runScript } from './measure.mjs';

const FILTER = 'redhat/insights/in/+';

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: { messages: { type: 'string', default: '200000' }, clients: { type: 'string', default: '20000' } },
  });
  const messages = Number(values.messages);
  const clients = Number(values.clients);
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const mosquitto = await startMosquitto({ dir });
  const redis = await startRedis({ dir });
  console.log(`${machine()}\n${messages} messages of ${clients} clients, every fourth an offline`);
  try {
    const raw = await measureRaw(mosquitto, messages, clients);
    const ours = await measureOurs({ dir, mosquitto, redis }, messages, clients);
    console.table({ raw, ours });
    console.log(`ours / raw: ${(ours['messages/s'] / raw['messages/s']).toFixed(2)} of the rate`);
  } finally {
    await Promise.all([mosquitto.stop(), redis.stop()]);
    rmSync(dir, { recursive: true });
  }
}

/** @param {Awaited<ReturnType<typeof startMosquitto>>} mosquitto @param {number} messages @param {number} clients */
async function measureRaw(mosquitto, messages, clients) {
  const session = [mosquitto.url, 'bench-raw', `$share/bench/${FILTER}`];
  await runScript('raw-consumer.mjs', [...session, 'subscribe']);
  await runScript('load.mjs', [mosquitto.url, messages, clients, 0]);
  const consumer = forkScript('raw-consumer.mjs', [...session, 'consume']);
  const sample = async () => {
    const { count, cpu, rss } = await ask(consumer, 'count');
    return {
      count,
      cpu: (cpu.user + cpu.system) / 1e6,
      broker: cpuSeconds(mosquitto.pid),
      redis: 0,
      rss: rss / 2 ** 20,
    };
  };
  const result = await measureDrain(sample, messages);
  consumer.kill('SIGTERM');
  return result;
}

/**
 * @param {{ dir: string, mosquitto: Awaited<ReturnType<typeof startMosquitto>>, redis: Awaited<ReturnType<typeof startRedis>> }} parts
 * @param {number} messages
 * @param {number} clients
 */
async function measureOurs({ dir, mosquitto, redis }, messages, clients) {
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn' };
  const first = await startApp('status-ingester', { dir, env });
  await first.stop();
  await runScript('load.mjs', [mosquitto.url, messages, clients, 0]);
  const ingester = await startApp('status-ingester', { dir, env });
  const sample = async () => ({
    count: await metric(ingester.url, 'cloud_connector_mailbox_entries_applied_total'),
    cpu: cpuSeconds(ingester.pid),
    broker: cpuSeconds(mosquitto.pid),
    redis: cpuSeconds(redis.pid),
    rss: rssMiB(ingester.pid),
  });
  const result = await measureDrain(sample, messages);
  await verify(redis.url, messages, clients);
  await ingester.stop();
  return result;
}

/**
 * @param {() => Promise<{ count: number, cpu: number, broker: number, redis: number, rss: number }>} sample
 * @param {number} messages
 */
async function measureDrain(sample, messages) {
  let start = await sample();
  while (start.count === 0) {
    await sleep(20);
    start = await sample();
  }
  const startedAt = performance.now();
  let now = start;
  let middleRss = 0;
  let highestRss = 0;
  const giveUp = performance.now() + 600_000;
  while (now.count < messages) {
    if (performance.now() > giveUp) throw new Error(`stuck at ${now.count} of ${messages}`);
    await sleep(200);
    now = await sample();
    if (middleRss === 0 && now.count > messages / 2) middleRss = now.rss;
    highestRss = Math.max(highestRss, now.rss);
  }
  const count = now.count - start.count;
  const seconds = (performance.now() - startedAt) / 1000;
  const perMessage = (/** @type {'cpu' | 'broker' | 'redis'} */ key) =>
    Number((((now[key] - start[key]) / count) * 1e6).toFixed(1));
  return {
    'messages/s': Math.round(count / seconds),
    'CPU µs/message': perMessage('cpu'),
    'broker µs/message': perMessage('broker'),
    'redis µs/message': perMessage('redis'),
    'MiB at half': Math.round(middleRss),
    'MiB highest': Math.round(highestRss),
  };
}

/** Every client's last message must be what the registry shows. @param {string} url @param {number} messages @param {number} clients */
async function verify(url, messages, clients) {
  const redis = new Redis(url);
  const shards = Number(await redis.hget('cc:marker', 'shard_count'));
  const seen = new Map();
  for (let shard = 0; shard < shards; shard++) {
    for (const text of await redis.hvals(`cc:{s${shard}}:connections`)) {
      const connection = JSON.parse(text);
      seen.set(connection.client_id, connection);
    }
  }
  await redis.quit();
  for (let id = 0; id < Math.min(clients, messages); id++) {
    const last = id + clients * Math.floor((messages - 1 - id) / clients);
    const state = Math.floor(last / clients) % 4 === 3 ? 'offline' : 'online';
    const connection = seen.get(`bench-${id}`);
    if (connection?.state !== state || (state === 'online' && connection.handshake_message_id !== `bench-${last}`)) {
      throw new Error(`bench-${id} should be ${state} by message ${last}, but is ${JSON.stringify(connection)}`);
    }
  }
}
