/**
 * `npm run bench -- send [--messages 20000] [--connections 1000,…] [--dispatchers 1,…] [--concurrency 64] [--rate 300,1000]
 * [--at-once 1,16,64] [--seconds 10] [--json FILE]`
 *
 * - Rates, from the first POST until the last device has its message: one message a request, beside bare BullMQ (`add` and
 *   processing, in two processes); batches of 1,000, beside `addBulk`; batches to one connection, beside a bare loop that
 *   publishes at QoS 1 after each PUBACK.
 * - Latency from the POST to the device, ours beside a bare Fastify handler that publishes: in an open loop at even rates, and
 *   in a closed loop with a number of requests under way, with the CPU of every process a message.
 * - Redis alone: one XADD and one read a message.
 *
 * `--messages 0` leaves the rates out, `--rate ''` and `--at-once ''` their part of the latencies.
 *
 * Ours and the bare way run in turns, on one stack, until their ratio is steady or nine pairs have run. `--json` writes the
 * medians of the pairs.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { startApp, startStack } from '../scripts/stack.mjs';
import { Devices, inParallel, message, post } from './devices.mjs';
import { forkScript, machine, percentile, round } from './measure.mjs';
import { BATCH, bullmqBatches, bullmqSingle, orderedLoop, rate, redisAlone } from './send-floors.mjs';
import { closedLoop, cpuOf, cpuSince, openLoop } from './send-loops.mjs';
import { inTurns } from './turns.mjs';

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
/** Sockets to each way: an open loop must not wait for one. */
const SOCKETS = 256;

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      messages: { type: 'string', default: '20000' },
      connections: { type: 'string', default: '1000' },
      dispatchers: { type: 'string', default: '1' },
      concurrency: { type: 'string', default: '64' },
      rate: { type: 'string', default: '300,1000' },
      'at-once': { type: 'string', default: '1,16,64' },
      seconds: { type: 'string', default: '10' },
      json: { type: 'string' },
    },
  });
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const env = { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn', ...NO_LIMITS };
  const stack = await startStack({ dir, env });
  const bare = forkScript('bare-gateway.mjs', [stack.mosquitto.url]);
  const [{ port }] = await once(bare, 'message');
  const urls = { REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url, ...env };
  /** @type {Awaited<ReturnType<typeof startApp>>[]} */
  const dispatchers = [stack.dispatcher];
  const devices = await Devices.connect(stack.mosquitto.url);
  const [direct, ours] = [`http://127.0.0.1:${port}`, stack.gateway.url].map(
    (url) => new Pool(url, { connections: SOCKETS }),
  );
  if (direct === undefined || ours === undefined) throw new Error('no pools');
  console.log(machine());
  /** @type {Record<string, number> | undefined} */
  let figures;
  try {
    const counts = numbers(values.connections);
    await devices.register(stack.gateway.url, Math.max(...counts));
    const { redis, mosquitto, gateway, ingester } = stack;
    const parts = {
      gateway: [gateway],
      dispatcher: dispatchers,
      ingester: [ingester],
      redis: [redis],
      broker: [mosquitto],
    };
    for (const some of numbers(values.dispatchers)) {
      while (dispatchers.length < some)
        dispatchers.push(
          await startApp('dispatcher', { dir, name: `dispatcher-${dispatchers.length + 1}`, env: urls }),
        );
      for (const count of counts) {
        console.log(`\n${count} connections, ${some} dispatchers`);
        const pathOf = (/** @type {string} */ id) => `/v1/connections/${id}/messages`;
        const oursWay = { devices, pool: ours, count, parts, pathOf };
        const directPath = (/** @type {string} */ id) => `/direct/${id}`;
        const bareWay = { ...oursWay, pool: direct, parts: { bare: [bare], broker: [mosquitto] }, pathOf: directPath };
        const measured = {
          ...(values.messages === '0'
            ? {}
            : await rates(oursWay, stack, Number(values.messages), Number(values.concurrency))),
          ...(await latencies(
            oursWay,
            bareWay,
            numbers(values.rate),
            numbers(values['at-once']),
            Number(values.seconds),
          )),
        };
        figures ??= measured;
      }
    }
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
    await Promise.all([direct.close(), ours.close(), devices.client.endAsync()]);
  } finally {
    bare.send('stop');
    await Promise.all(dispatchers.slice(1).map((one) => one.stop()));
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @typedef {import('./send-loops.mjs').Way} Way */

/** Rates beside what is bare, in turns. */
async function rates(
  /** @type {Way} */ way,
  /** @type {Awaited<ReturnType<typeof startStack>>} */ { redis, mosquitto },
  /** @type {number} */ messages,
  /** @type {number} */ concurrency,
) {
  const one = { ...way, count: 1 };
  const ofRates = (/** @type {{ perSecond: number }} */ ours, /** @type {number} */ bare) => ours.perSecond / bare;
  const single = await inTurns(
    'single, of bare BullMQ',
    () => toTheLastArrival(way, messages, singles(way, messages, concurrency)),
    () => bullmqSingle(redis.url, messages, concurrency),
    ofRates,
  );
  const batch = await inTurns(
    'batches of 1,000, of addBulk',
    () => toTheLastArrival(way, messages, batches(way, messages)),
    () => bullmqBatches(redis.url, messages, BATCHES_AT_ONCE),
    ofRates,
  );
  const oneConnection = await inTurns(
    'batches to one connection, of a bare ordered loop',
    () => toTheLastArrival(one, messages, batches(one, messages)),
    () => orderedLoop(mosquitto.url, way.devices, messages),
    ofRates,
  );
  const floor = await redisAlone(redis, messages, concurrency);
  const row = (/** @type {typeof single} */ { medianOf, ratio }) => ({
    'messages/s': Math.round(medianOf(({ ours }) => ours.perSecond)),
    'bare/s': Math.round(medianOf(({ bare }) => bare)),
    'of bare': round(ratio),
    ...Object.fromEntries(
      Object.keys(way.parts).map((part) => [`${part} µs`, Math.round(medianOf(({ ours }) => ours.cpu[part] ?? NaN))]),
    ),
  });
  console.table({ single: row(single), batch: row(batch), 'one connection': row(oneConnection) });
  console.log(
    `Redis alone, one XADD and one read a message: ${Math.round(floor.perSecond)} messages/s, ` +
      `${Math.round(floor.redisUs)} µs of Redis a message`,
  );
  const arrivals = await batchArrivals(way);
  console.log(
    `One batch at a time, from its POST to each of its devices: p50 ${round(percentile(arrivals, 0.5))} ms, ` +
      `p99 ${round(percentile(arrivals, 0.99))} ms`,
  );
  return {
    single_of_bare: round(single.ratio),
    batch_of_bare: round(batch.ratio),
    one_connection_of_ordered_loop: round(oneConnection.ratio),
    redis_us_single: Math.round(single.medianOf(({ ours }) => ours.cpu.redis ?? NaN)),
    redis_us_floor: Math.round(floor.redisUs),
  };
}

/** Latencies beside the bare handler, in turns: at even rates, and with a number of requests under way. */
async function latencies(
  /** @type {Way} */ ours,
  /** @type {Way} */ bare,
  /** @type {number[]} */ perSecond,
  /** @type {number[]} */ atOnce,
  /** @type {number} */ seconds,
) {
  /** @typedef {Awaited<ReturnType<typeof openLoop>>} Measured */
  const runs = [
    ...perSecond.map((n) => ({
      key: String(n),
      name: `${n} a second`,
      run: (/** @type {Way} */ way) => openLoop(way, { perSecond: n, seconds }),
    })),
    ...atOnce.map((n) => ({
      key: `at_once_${n}`,
      name: `${n} at once`,
      run: (/** @type {Way} */ way) => closedLoop(way, { atOnce: n, seconds }),
    })),
  ];
  /** @type {Record<string, Record<string, number>>} */
  const table = {};
  /** @type {Record<string, number>} */
  const figures = {};
  for (const { key, name, run: load } of runs) {
    const of = await inTurns(
      `${name}, p50 of the bare handler's`,
      () => load(ours),
      () => load(bare),
      (one, beside) => one.p50 / beside.p50,
    );
    const times = (/** @type {(one: Measured) => number} */ figure) =>
      round(of.medianOf((pair) => figure(pair.ours) / figure(pair.bare)));
    const ofOurs = (/** @type {(one: Measured) => number} */ figure) => of.medianOf((pair) => figure(pair.ours));
    for (const [who, part] of /** @type {const} */ ([
      ['ours', ours],
      ['bare', bare],
    ])) {
      const value = (/** @type {(one: Measured) => number} */ figure) => of.medianOf((pair) => figure(pair[who]));
      table[`${name}, ${who}`] = {
        accepted: value((one) => one.accepted),
        refused: value((one) => one.refused),
        'delivered of accepted': round(value((one) => one.deliveredShare)),
        'p50 ms': round(value((one) => one.p50)),
        'p95 ms': round(value((one) => one.p95)),
        'p99 ms': round(value((one) => one.p99)),
        'all µs': Math.round(value((one) => one.cpuSum)),
        ...Object.fromEntries(
          Object.keys(part.parts).map((name) => [`${name} µs`, Math.round(value((one) => one.cpu[name] ?? NaN))]),
        ),
      };
    }
    if (key.startsWith('at_once_')) {
      figures[`delivered_share_${key.slice('at_once_'.length)}`] = round(ofOurs((one) => one.deliveredShare));
      figures[`p99_ms_${key.slice('at_once_'.length)}`] = round(ofOurs((one) => one.p99));
    } else {
      figures[`p50_times_direct_${key}`] = times((one) => one.p50);
      figures[`p99_times_direct_${key}`] = times((one) => one.p99);
      figures[`cpu_times_direct_${key}`] = times((one) => one.cpuSum);
    }
  }
  console.table(table);
  return figures;
}

/** The rate until the last arrival, and the CPU of each part, in µs a message. */
async function toTheLastArrival(
  /** @type {Way} */ { parts },
  /** @type {number} */ messages,
  /** @type {(arriving: Promise<number>[]) => Promise<unknown>} */ send,
) {
  /** @type {Promise<number>[]} */
  const arriving = [];
  const before = cpuOf(parts);
  const perSecond = await rate(messages, async () => {
    await send(arriving);
    await Promise.all(arriving);
  });
  return { perSecond, cpu: cpuSince(before, parts, messages) };
}

/** @param {Way} way @param {number} messages @param {number} atOnce */
function singles({ devices, pool, pathOf, count }, messages, atOnce) {
  return (/** @type {Promise<number>[]} */ arriving) =>
    inParallel(messages, atOnce, async (i) => {
      const { n, arrival } = devices.next();
      arriving.push(arrival);
      await post(pool, pathOf(`bench-${i % count}`), message(n));
    });
}

/** @param {Way} way @param {number} messages */
function batches(way, messages) {
  return (/** @type {Promise<number>[]} */ arriving) =>
    inParallel(messages / BATCH, BATCHES_AT_ONCE, async (i) => {
      arriving.push(...(await postBatch(way, i * BATCH)));
    });
}

/** How long after its POST each message of a batch arrives, one batch at a time. @param {Way} way */
async function batchArrivals(way) {
  const times = [];
  for (let i = 0; i < BATCHES_TIMED; i++) {
    const from = performance.now();
    const at = await Promise.all(await postBatch(way, i * BATCH));
    times.push(...at.map((time) => time - from));
  }
  return times;
}

/** One request with a message to each of the next connections. @returns when each of them arrives */
async function postBatch(/** @type {Way} */ { devices, pool, count }, /** @type {number} */ first) {
  const items = Array.from({ length: BATCH }, (_, i) => ({ ...devices.next(), id: `bench-${(first + i) % count}` }));
  const { results } = await post(pool, '/v1/messages', {
    messages: items.map(({ n, id }) => ({ client_id: id, ...message(n) })),
  });
  for (const { status } of results) if (status !== 202) throw new Error(`an item was answered with ${status}`);
  return items.map(({ arrival }) => arrival);
}

/** @param {string} list an empty one leaves its part of the benchmark out */
function numbers(list) {
  return list === '' ? [] : list.split(',').map(Number);
}
