/**
 * `npm run bench -- send [--messages 20000] [--connections 1000] [--concurrency 64]`
 *
 * Rates: bare BullMQ (add and process, two processes) and a bare Fastify POST, beside POST → received by the device.
 * Latency: from the POST to the device, one request at a time, one every 5 ms on both ways, in turns: a bare Fastify
 * handler that publishes, beside ours.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import mqtt from 'mqtt';
import { Pool } from 'undici';
import { startStack, waitUntil } from '../scripts/stack.mjs';
import { ask, cpuSeconds, forkScript, machine, percentile } from './measure.mjs';

/** Both ways at the same rate: else the faster one keeps the machine warmer. */
const LATENCY = { rounds: 8, perRound: 250, everyMs: 5 };

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      messages: { type: 'string', default: '20000' },
      connections: { type: 'string', default: '1000' },
      concurrency: { type: 'string', default: '64' },
    },
  });
  const messages = Number(values.messages);
  const connections = Number(values.connections);
  const concurrency = Number(values.concurrency);
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const stack = await startStack({ dir, env: { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn' } });
  const bare = forkScript('bare-gateway.mjs', [stack.mosquitto.url]);
  const [{ port }] = await once(bare, 'message');
  console.log(`${machine()}\n${messages} messages to ${connections} connections, ${concurrency} requests at a time`);
  try {
    const device = await Devices.connect(stack.mosquitto.url);
    await device.register(stack.gateway.url, connections);
    const direct = new Pool(`http://127.0.0.1:${port}`, { connections: concurrency });
    const ours = new Pool(stack.gateway.url, { connections: concurrency });
    const parts = { gateway: stack.gateway.pid, dispatcher: stack.dispatcher.pid, redis: stack.redis.pid };

    const ways = [
      { pool: direct, pathOf: (/** @type {string} */ id) => `/direct/${id}`, times: [0] },
      { pool: ours, pathOf: (/** @type {string} */ id) => `/v1/connections/${id}/messages`, times: [0] },
    ];
    for (let round = 0; round <= LATENCY.rounds; round++) {
      for (const way of ways) {
        const times = await latency(device, way.pool, way.pathOf, connections);
        // The first round warms both ways up.
        way.times = round <= 1 ? times : [...way.times, ...times];
      }
    }
    const [directLatency, ourLatency] = ways.map(({ times }) => ({
      'p50 ms': round(percentile(times, 0.5)),
      'p99 ms': round(percentile(times, 0.99)),
    }));
    console.table({ 'direct publish': directLatency, ours: ourLatency });

    const queueRate = await bullmqRate(stack.redis.url, messages, concurrency);
    const postRate = await rate(messages, concurrency, (n) => post(direct, '/bare', n));
    await fanOut(device, ours, connections, Math.min(messages, 4000), concurrency);
    const before = Object.fromEntries(Object.entries(parts).map(([name, pid]) => [name, cpuSeconds(pid)]));
    const sendRate = await fanOut(device, ours, connections, messages, concurrency);
    const cpu = Object.fromEntries(
      Object.entries(parts).map(([name, pid]) => [
        name,
        Math.round(((cpuSeconds(pid) - (before[name] ?? 0)) / messages) * 1e6),
      ]),
    );
    console.table({
      'bare BullMQ add + process': { 'messages/s': Math.round(queueRate) },
      'bare Fastify POST': { 'messages/s': Math.round(postRate) },
      'ours, POST → device': { 'messages/s': Math.round(sendRate) },
    });
    console.log('CPU µs/message', cpu);
    console.log(`ours / bare BullMQ: ${(sendRate / queueRate).toFixed(2)} of the rate`);
    console.log(
      `ours / direct publish: ${((ourLatency?.['p50 ms'] ?? NaN) / (directLatency?.['p50 ms'] ?? NaN)).toFixed(2)} times the p50`,
    );
    await Promise.all([direct.close(), ours.close(), device.client.endAsync()]);
  } finally {
    bare.send('stop');
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** All devices of the benchmark behind one connection. */
class Devices {
  /** @type {Map<number, (at: number) => void>} */
  waiting = new Map();

  /** @param {mqtt.MqttClient} client */
  constructor(client) {
    this.client = client;
    client.on('message', (_topic, data) => {
      const at = performance.now();
      const { payload } = JSON.parse(data.toString());
      this.waiting.get(payload.n)?.(at);
      this.waiting.delete(payload.n);
    });
  }

  /** @param {string} url */
  static async connect(url) {
    const client = await mqtt.connectAsync(url, { protocolVersion: 5 });
    await client.subscribeAsync('redhat/insights/out/+', { qos: 1 });
    return new Devices(client);
  }

  /** @param {string} api @param {number} count */
  async register(api, count) {
    for (let i = 0; i < count; i++) {
      const handshake = {
        type: 'host-handshake',
        message_id: `bench-${i}`,
        version: 1,
        sent: '2026-01-01T00:00:00+00:00',
        payload: { canonical_facts: { fqdn: `bench-${i}.example.com` } },
      };
      this.client.publish(`redhat/insights/in/bench-${i}`, JSON.stringify(handshake), { qos: 1, retain: true });
    }
    await waitUntil(async () => {
      /** @type {any} */
      const summary = await (await fetch(`${api}/v1/connections/summary`)).json();
      if (summary.online.total < count) throw new Error(`${summary.online.total} are online`);
    });
  }

  /** Resolves with the time at which message `n` arrives. @param {number} n @returns {Promise<number>} */
  arrival(n) {
    return new Promise((resolve) => this.waiting.set(n, resolve));
  }
}

let numbers = 0;

/** @param {Pool} pool @param {string} path @param {number} n */
async function post(pool, path, n) {
  const response = await pool.request({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ directive: 'bench:message', payload: { n } }),
  });
  await response.body.dump();
  if (response.statusCode !== 202) throw new Error(`POST ${path} answered ${response.statusCode}`);
}

/** @param {Devices} device @param {Pool} pool @param {(id: string) => string} pathOf @param {number} connections */
async function latency(device, pool, pathOf, connections) {
  const times = [];
  for (let i = 0; i < LATENCY.perRound; i++) {
    const n = numbers++;
    const arrival = device.arrival(n);
    const from = performance.now();
    await post(pool, pathOf(`bench-${i % connections}`), n);
    times.push((await arrival) - from);
    // What follows the arrival (PUBACK, settle) belongs to this message, not to the next one's time.
    await sleep(Math.max(1, LATENCY.everyMs - (performance.now() - from)));
  }
  return times;
}

/** Sends to all connections in turn; from the first POST to the last arrival. */
async function fanOut(
  /** @type {Devices} */ device,
  /** @type {Pool} */ pool,
  /** @type {number} */ connections,
  /** @type {number} */ messages,
  /** @type {number} */ concurrency,
) {
  const first = numbers;
  numbers += messages;
  const from = performance.now();
  const arrivals = Array.from({ length: messages }, (_, i) => device.arrival(first + i));
  await inParallel(messages, concurrency, (i) =>
    post(pool, `/v1/connections/bench-${i % connections}/messages`, first + i),
  );
  const posted = performance.now();
  const last = Math.max(...(await Promise.all(arrivals)));
  console.log(`  all accepted after ${Math.round(posted - from)} ms, all received after ${Math.round(last - from)} ms`);
  return messages / ((last - from) / 1000);
}

/** @param {string} redisUrl @param {number} jobs @param {number} concurrency */
async function bullmqRate(redisUrl, jobs, concurrency) {
  const worker = forkScript('bare-worker.mjs', [redisUrl]);
  await once(worker, 'message');
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('bare', { connection });
  const from = performance.now();
  await inParallel(jobs, concurrency, (n) => queue.add('job', { n }, { removeOnComplete: true }).then(() => undefined));
  while ((await ask(worker, 'done')).done < jobs) await sleep(5);
  const seconds = (performance.now() - from) / 1000;
  worker.kill('SIGTERM');
  await queue.close();
  connection.disconnect();
  return jobs / seconds;
}

/** @param {number} count @param {number} concurrency @param {(n: number) => Promise<void>} act */
async function rate(count, concurrency, act) {
  const from = performance.now();
  await inParallel(count, concurrency, act);
  return count / ((performance.now() - from) / 1000);
}

/** @param {number} count @param {number} concurrency @param {(n: number) => Promise<void>} act */
async function inParallel(count, concurrency, act) {
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < count) await act(next++);
    }),
  );
}

/** @param {number} ms */
function round(ms) {
  return Number(ms.toFixed(2));
}
