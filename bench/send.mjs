/**
 * `npm run bench -- send [--messages 20000] [--connections 1,1000,10000] [--dispatchers 1,2] [--concurrency 64]`
 *
 * Rates: ours, from the POST until the device receives the message, with one message a request and in batches of 1,000;
 * beside bare BullMQ (`add` or `addBulk` of 1,000, and processing, in two processes) and a bare Fastify POST.
 * Latency: from the POST to the device, one request every 5 ms, through ours and through a bare Fastify handler that
 * publishes, in turns. For a batch: from its POST to each of its devices, one batch at a time.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { Pool } from 'undici';
import { startApp, startStack } from '../scripts/stack.mjs';
import { Devices, inParallel, message, post } from './devices.mjs';
import { ask, cpuSeconds, forkScript, machine, percentile } from './measure.mjs';

/** Both ways get the same rate: otherwise the faster one would keep the machine warmer. */
const LATENCY = { rounds: 4, perRound: 250, everyMs: 5 };
const BATCH = 1000;
/** Batches to one connection wait in its outbox: no limit of waiting messages may answer instead of the dispatcher. */
const NO_LIMITS = {
  OUTBOX_LIMIT: '100000',
  SHARD_OUTBOX_LIMIT: '1000000',
  OUTBOX_BYTES: String(2 ** 30),
  SHARD_OUTBOX_BYTES: String(2 ** 31),
  ACCOUNT_OUTBOX_BYTES: String(2 ** 31),
};
/** How many batches are sent at a time, through ours and through bare BullMQ. */
const BATCHES_AT_ONCE = 2;
/** How many batches are sent one after the other to measure each arrival. */
const BATCHES_TIMED = 5;

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      messages: { type: 'string', default: '20000' },
      connections: { type: 'string', default: '1,1000,10000' },
      dispatchers: { type: 'string', default: '1,2' },
      concurrency: { type: 'string', default: '64' },
    },
  });
  const messages = Number(values.messages);
  const concurrency = Number(values.concurrency);
  const connections = values.connections.split(',').map(Number);
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const env = { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn', ...NO_LIMITS };
  const stack = await startStack({ dir, env });
  const bare = forkScript('bare-gateway.mjs', [stack.mosquitto.url]);
  const [{ port }] = await once(bare, 'message');
  console.log(`${machine()}\n${messages} messages a rate, ${concurrency} requests at a time`);
  const more = [];
  try {
    const devices = await Devices.connect(stack.mosquitto.url);
    await devices.register(stack.gateway.url, Math.max(...connections));
    const direct = new Pool(`http://127.0.0.1:${port}`, { connections: concurrency });
    const ours = new Pool(stack.gateway.url, { connections: concurrency });
    const floor = {
      single: await bullmqRate(stack.redis.url, messages, (queue, n) => queue.add('job', { n }, DONE), concurrency, 1),
      batch: await bullmqRate(stack.redis.url, messages, addBulk, BATCHES_AT_ONCE, BATCH),
      post: await rate(messages, () => inParallel(messages, concurrency, (n) => post(direct, '/bare', message(n)))),
    };
    console.table({
      'bare BullMQ add + process': { 'messages/s': Math.round(floor.single) },
      'bare BullMQ addBulk + process': { 'messages/s': Math.round(floor.batch) },
      'bare Fastify POST': { 'messages/s': Math.round(floor.post) },
    });

    const parts = {
      gateway: [stack.gateway],
      dispatcher: [stack.dispatcher],
      redis: [stack.redis],
      broker: [stack.mosquitto],
      load: [process],
    };
    const urls = { REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url, ...env };
    /** @type {Record<string, Record<string, string | number>>} */
    const table = {};
    for (const dispatchers of values.dispatchers.split(',').map(Number)) {
      while (parts.dispatcher.length < dispatchers) {
        const one = await startApp('dispatcher', { dir, name: `dispatcher-${parts.dispatcher.length}`, env: urls });
        parts.dispatcher.push(one);
        more.push(one);
      }
      for (const count of connections) {
        const cluster = { devices, direct, ours, parts, count, messages, concurrency };
        Object.assign(table, await measure(`${dispatchers} dispatcher, ${count} connections`, cluster, floor));
      }
    }
    console.table(table);
    await Promise.all([direct.close(), ours.close(), devices.client.endAsync()]);
  } finally {
    bare.send('stop');
    await Promise.all(more.map((one) => one.stop()));
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/**
 * @typedef {{ devices: Devices, direct: Pool, ours: Pool, count: number, messages: number, concurrency: number,
 *   parts: Record<string, { pid: number | undefined }[]> }} Cluster
 */

/** @param {string} name @param {Cluster} cluster @param {{ single: number, batch: number }} floor */
async function measure(name, { devices, direct, ours, parts, count, messages, concurrency }, floor) {
  const ways = [
    { pool: direct, pathOf: (/** @type {string} */ id) => `/direct/${id}`, times: [0] },
    { pool: ours, pathOf: (/** @type {string} */ id) => `/v1/connections/${id}/messages`, times: [0] },
  ];
  for (let round = 0; round <= LATENCY.rounds; round++) {
    for (const way of ways) {
      const times = await latency(devices, way.pool, way.pathOf, count);
      // The first round only warms up.
      way.times = round <= 1 ? times : [...way.times, ...times];
    }
  }
  const [directTimes = [], ourTimes = []] = ways.map(({ times }) => times);

  const single = (/** @type {number} */ some) => (/** @type {Promise<number>[]} */ arriving) =>
    inParallel(some, concurrency, async (i) => {
      const { n, arrival } = devices.next();
      arriving.push(arrival);
      await post(ours, `/v1/connections/bench-${i % count}/messages`, message(n));
    });
  // The first run warms up: code that is not compiled yet costs several times as much.
  await withCpu(parts, messages, single(Math.ceil(messages / 5)));
  const singles = await withCpu(parts, messages, single(messages));
  const batchTimes = [];
  for (let i = 0; i < BATCHES_TIMED; i++) {
    const from = performance.now();
    const at = await Promise.all(await postBatch(devices, ours, count, i * BATCH));
    batchTimes.push(...at.map((time) => time - from));
  }
  const batches = await withCpu(parts, messages, (arriving) =>
    inParallel(messages / BATCH, BATCHES_AT_ONCE, async (i) => {
      arriving.push(...(await postBatch(devices, ours, count, i * BATCH)));
    }),
  );
  return {
    [`${name}, single`]: {
      'messages/s': Math.round(singles.rate),
      'of bare': round(singles.rate / floor.single),
      'p50 ms': round(percentile(ourTimes, 0.5)),
      'p99 ms': round(percentile(ourTimes, 0.99)),
      'direct p50': round(percentile(directTimes, 0.5)),
      'direct p99': round(percentile(directTimes, 0.99)),
      'times the p50': round(percentile(ourTimes, 0.5) / percentile(directTimes, 0.5)),
      ...singles.cpu,
    },
    [`${name}, batch`]: {
      'messages/s': Math.round(batches.rate),
      'of bare': round(batches.rate / floor.batch),
      'p50 ms': round(percentile(batchTimes, 0.5)),
      'p99 ms': round(percentile(batchTimes, 0.99)),
      ...batches.cpu,
    },
  };
}

/** The rate from the first POST to the last arrival, and the CPU that each part uses, in µs a message. */
async function withCpu(
  /** @type {Cluster['parts']} */ parts,
  /** @type {number} */ messages,
  /** @type {(arriving: Promise<number>[]) => Promise<void>} */ send,
) {
  const used = () => Object.values(parts).map((some) => some.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0));
  /** @type {Promise<number>[]} */
  const arriving = [];
  const before = used();
  const from = performance.now();
  await send(arriving);
  const last = (await Promise.all(arriving)).reduce((latest, at) => Math.max(latest, at), 0);
  const after = used();
  const cpu = Object.fromEntries(
    Object.keys(parts).map((name, i) => [
      `${name} µs`,
      Math.round((((after[i] ?? 0) - (before[i] ?? 0)) / messages) * 1e6),
    ]),
  );
  return { rate: messages / ((last - from) / 1000), cpu };
}

/** One request with a message to each of the next connections. @returns when each of them arrives */
async function postBatch(
  /** @type {Devices} */ devices,
  /** @type {Pool} */ pool,
  /** @type {number} */ count,
  /** @type {number} */ first,
) {
  const items = Array.from({ length: BATCH }, (_, i) => ({ ...devices.next(), id: `bench-${(first + i) % count}` }));
  const { results } = await post(pool, '/v1/messages', {
    messages: items.map(({ n, id }) => ({ client_id: id, ...message(n) })),
  });
  for (const { status } of results) if (status !== 202) throw new Error(`an item was answered with ${status}`);
  return items.map(({ arrival }) => arrival);
}

/** @param {Devices} devices @param {Pool} pool @param {(id: string) => string} pathOf @param {number} connections */
async function latency(devices, pool, pathOf, connections) {
  const times = [];
  for (let i = 0; i < LATENCY.perRound; i++) {
    const { n, arrival } = devices.next();
    const from = performance.now();
    await post(pool, pathOf(`bench-${i % connections}`), message(n));
    times.push((await arrival) - from);
    // The work after the arrival (PUBACK, completion) must not slow the next message down.
    await sleep(Math.max(1, LATENCY.everyMs - (performance.now() - from)));
  }
  return times;
}

const DONE = { removeOnComplete: true };

/** @param {Queue} queue @param {number} from */
function addBulk(queue, from) {
  return queue.addBulk(Array.from({ length: BATCH }, (_, i) => ({ name: 'job', data: { n: from + i }, opts: DONE })));
}

/** Adds jobs with `add`, and processes them in another process. @returns jobs a second */
async function bullmqRate(
  /** @type {string} */ redisUrl,
  /** @type {number} */ jobs,
  /** @type {(queue: Queue, n: number) => Promise<unknown>} */ add,
  /** @type {number} */ atOnce,
  /** @type {number} */ jobsEach,
) {
  const worker = forkScript('bare-worker.mjs', [redisUrl]);
  await once(worker, 'message');
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('bare', { connection });
  const perSecond = await rate(jobs, async () => {
    await inParallel(jobs / jobsEach, atOnce, (n) => add(queue, n * jobsEach));
    while ((await ask(worker, 'done')).done < jobs) await sleep(5);
  });
  worker.kill('SIGTERM');
  await queue.close();
  connection.disconnect();
  return perSecond;
}

/** @param {number} count @param {() => Promise<unknown>} act */
async function rate(count, act) {
  const from = performance.now();
  await act();
  return count / ((performance.now() - from) / 1000);
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(2));
}
