/**
 * `npm run bench -- ingest [--messages 200000] [--clients 20000] [--offline-every 0] [--mode live,drain,killed]`
 *
 * Bare MQTT.js consuming QoS 1 messages of a shared subscription, beside ours: the same messages until their effect is
 * committed and visible in the registry. Measured in two modes: `live`, while a publisher sends as fast as it can, and
 * `drain`, from a session that was filled before, so that nothing else competes for the machine. `killed`: as `drain`, but the
 * ingester is killed after a fifth and started again, so that the broker redelivers what it had in flight. Only ours.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../scripts/stack.mjs';
import { ask, cpuSeconds, forkScript, machine, metric, rssMiB, runScript } from './measure.mjs';

const FILTER = 'redhat/insights/in/+';

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      messages: { type: 'string', default: '200000' },
      clients: { type: 'string', default: '20000' },
      'offline-every': { type: 'string', default: '0' },
      mode: { type: 'string', default: 'live,drain' },
    },
  });
  const messages = Number(values.messages);
  const clients = Number(values.clients);
  const offlineEvery = Number(values['offline-every']);
  /** @type {Load} */
  const load = [messages, clients, offlineEvery];
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const mosquitto = await startMosquitto({ dir });
  console.log(
    `${machine()}\n${messages} messages of ${clients} clients, ${offlineEvery === 0 ? 'all handshakes' : `of each every ${offlineEvery}th an offline`}`,
  );
  try {
    /** @type {Record<string, Row>} */
    const rows = {};
    for (const mode of /** @type {Mode[]} */ (values.mode.split(','))) {
      const raw = mode === 'killed' ? undefined : await measureRaw({ mosquitto, load, mode });
      const ours = await measureOurs({ dir, mosquitto, load, mode });
      if (raw !== undefined) rows[`raw, ${mode}`] = raw;
      rows[`ours, ${mode}`] = ours;
      if (raw === undefined) continue;
      console.log(`${mode}: ours / raw = ${(ours['messages/s'] / raw['messages/s']).toFixed(2)} of the rate`);
    }
    console.table(rows);
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/**
 * @typedef {Awaited<ReturnType<typeof startMosquitto>>} Broker
 * @typedef {'live' | 'drain' | 'killed'} Mode
 * @typedef {[messages: number, clients: number, offlineEvery: number]} Load
 * @typedef {{ count: number, cpu: number, broker: number, redis: number, rss: number }} Sample
 * @typedef {Awaited<ReturnType<typeof measure>>} Row
 */

/** @param {{ mosquitto: Broker, load: Load, mode: Mode }} options */
async function measureRaw({ mosquitto, load, mode }) {
  const session = [mosquitto.url, `bench-raw-${mode}`, `$share/bench-${mode}/${FILTER}`];
  await runScript('raw-consumer.mjs', [...session, 'subscribe']);
  const publish = () => runScript('load.mjs', [mosquitto.url, ...load]);
  if (mode === 'drain') await publish();
  const consumer = forkScript('raw-consumer.mjs', [...session, 'consume']);
  /** @returns {Promise<Sample>} */
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
  const publishing = mode === 'live' ? publish() : Promise.resolve();
  const result = await measure(sample, load[0]);
  await publishing;
  consumer.kill('SIGTERM');
  await runScript('raw-consumer.mjs', [...session, 'end']);
  return result;
}

/** @param {{ dir: string, mosquitto: Broker, load: Load, mode: Mode }} options */
async function measureOurs({ dir, mosquitto, load, mode }) {
  const redis = await startRedis({ dir });
  const env = {
    REDIS_URL: redis.url,
    MQTT_URL: mosquitto.url,
    SHARE_GROUP: `bench-ours-${mode}`,
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn',
    CLIENT_BURST: '1000000',
    CLIENT_BYTES_RATE: '1073741824',
  };
  const publish = () => runScript('load.mjs', [mosquitto.url, ...load]);
  let ingester = await startApp('status-ingester', { dir, env });
  let left = load[0];
  if (mode !== 'live') {
    await ingester.stop();
    await publish();
    ingester = await startApp('status-ingester', { dir, env });
  }
  if (mode === 'killed') {
    let done = 0;
    while (done < load[0] / 5) {
      await sleep(50);
      done = await committed(ingester.url);
    }
    await ingester.kill();
    // It took more until it was killed, and nobody knows how many.
    left = Math.floor(0.9 * (left - done));
    ingester = await startApp('status-ingester', { dir, env });
  }
  /** @returns {Promise<Sample>} */
  const sample = async () => ({
    count: await committed(ingester.url),
    cpu: cpuSeconds(ingester.pid),
    broker: cpuSeconds(mosquitto.pid),
    redis: cpuSeconds(redis.pid),
    rss: rssMiB(ingester.pid),
  });
  const publishing = mode === 'live' ? publish() : Promise.resolve();
  const result = await measure(sample, left);
  await publishing;
  await waitUntil(() => verify(redis.url, ...load), { what: 'the registry to show each last message', everyMs: 500 });
  // If a lane has lost its connection, the broker redelivers its backlog, and the run measures that.
  for (const line of readFileSync(ingester.log, 'utf8').split('\n').filter(isWarning))
    console.log(line.replace(/"stack":"[^"]*"/g, ''));
  await ingester.stop();
  await runScript('raw-consumer.mjs', [mosquitto.url, `bench-ours-${mode}-lane-0`, FILTER, 'end']);
  await redis.stop();
  return result;
}

/** @param {string} line */
function isWarning(line) {
  return line.includes('"level":"warn"') || line.includes('"level":"error"');
}

/**
 * Messages of clients whose effect is committed. (Applied entries are more: they include the results of sweeps.)
 * @param {string} url
 */
async function committed(url) {
  const taken = await metric(url, 'cloud_connector_intake_messages_total');
  return Math.max(0, taken - (await metric(url, 'cloud_connector_mailbox_depth')));
}

/** From the first message that counts to the last. @param {() => Promise<Sample>} sample @param {number} messages */
async function measure(sample, messages) {
  let start = await sample();
  while (start.count === 0) {
    await sleep(10);
    start = await sample();
  }
  const startedAt = performance.now();
  let now = start;
  let middleRss = 0;
  let highestRss = 0;
  const giveUp = performance.now() + 1_200_000;
  while (now.count < messages) {
    if (performance.now() > giveUp) throw new Error(`stuck at ${now.count} of ${messages}`);
    // Each sample renders all metrics of the app. So there are few, and the last ones are close to the end.
    const leftMs = ((performance.now() - startedAt) * (messages - now.count)) / Math.max(1, now.count - start.count);
    await sleep(Math.min(1000, Math.max(50, leftMs / 2)));
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

/** Every client's last message must be what the registry shows. @param {string} url @param {Load} load */
async function verify(url, ...[messages, clients, offlineEvery]) {
  const redis = new Redis(url);
  const shards = Number(await redis.hget('cc:marker', 'shard_count'));
  const seen = new Map();
  for (let shard = 0; shard < shards; shard++) {
    for (const [id, text] of Object.entries(await redis.hgetall(`cc:{s${shard}}:connections`))) {
      // See libs/registry/src/connections/connection-record.ts.
      const { s: state = 'online', h: handshake } = JSON.parse(text);
      seen.set(id, { state, handshake });
    }
  }
  await redis.quit();
  for (let id = 0; id < Math.min(clients, messages); id++) {
    const rounds = Math.floor((messages - 1 - id) / clients) + 1;
    const state = offlineEvery > 0 && rounds % offlineEvery === 0 ? 'offline' : 'online';
    const connection = seen.get(`bench-${id}`);
    const last = `bench-${id + clients * (rounds - 1)}`;
    if (connection?.state !== state || (state === 'online' && connection.handshake !== last)) {
      throw new Error(`bench-${id} should be ${state} by message ${last}, but is ${JSON.stringify(connection)}`);
    }
  }
}
