/** Calls, through ours and through the bare way, on a stack of their own. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { startRedisCluster } from '../scripts/redis-topologies.mjs';
import { startApp, startMosquitto, startStack } from '../scripts/stack.mjs';
import { Devices } from './devices.mjs';
import { forkScript, percentile } from './measure.mjs';
import { cpuOf, cpuSince } from './send-loops.mjs';

/** Sockets to each way: an open loop must not wait for one. */
const SOCKETS = 256;
const WAIT_SECONDS = 20;

/** @typedef {{ pool: Pool, pathOf: (id: string) => string, parts: import('./send-loops.mjs').Parts, count: number }} Way */
/** @typedef {{ redis: Part[], mosquitto: Part, gateway: Part, ingester: Part, dispatcher: Part, stop: () => Promise<void> }} Stack */
/** @typedef {{ pid: number | undefined, port: number, url: string }} Part */
/** @typedef {{ dir: string, env: Record<string, string> }} StackOptions */

/** @param {StackOptions} options @returns {Promise<Stack>} */
export async function onOneRedis(options) {
  const stack = await startStack(options);
  return { ...stack, redis: [stack.redis], stop: () => stack.stop() };
}

/** On a Redis Cluster of three masters. @param {StackOptions} options @returns {Promise<Stack>} */
export async function onCluster({ dir, env }) {
  const [cluster, mosquitto] = await Promise.all([startRedisCluster({ dir }), startMosquitto({ dir })]);
  const urls = { REDIS_URL: cluster.url, MQTT_URL: mosquitto.url, ...env };
  const [gateway, ingester, dispatcher] = await Promise.all([
    startApp('api-gateway', { dir, env: urls }),
    startApp('status-ingester', { dir, env: urls }),
    startApp('dispatcher', { dir, env: urls }),
  ]);
  return {
    ...{ redis: cluster.nodes, mosquitto, gateway, ingester, dispatcher },
    async stop() {
      await Promise.all([gateway.stop(), ingester.stop(), dispatcher.stop()]);
      await Promise.all([cluster.stop(), mosquitto.stop()]);
    },
  };
}

/**
 * Both ways on a stack that is stopped after `use`.
 * @template Result
 * @param {Promise<Stack>} starting @param {number} count of connections
 * @param {(ways: { ours: Way, bareWay: Way, devices: Devices, stack: Stack }) => Promise<Result>} use
 */
export async function withWays(starting, count, use) {
  const stack = await starting;
  const { redis, mosquitto, gateway, ingester, dispatcher } = stack;
  const [bare, answering] = [
    forkScript('bare-gateway.mjs', [mosquitto.url]),
    forkScript('answering-devices.mjs', [mosquitto.url]),
  ];
  try {
    const [[{ port }]] = await Promise.all([once(bare, 'message'), once(answering, 'message')]);
    const devices = await Devices.connect(mosquitto.url);
    const poolOf = (/** @type {string} */ url) => new Pool(url, { connections: SOCKETS });
    const [direct, pool] = [poolOf(`http://127.0.0.1:${port}`), poolOf(gateway.url)];
    await devices.register(gateway.url, count);
    await devices.pause();
    /** @type {Way} */
    const ours = {
      ...{ pool, count, pathOf: (id) => `/v1/connections/${id}/messages` },
      parts: { gateway: [gateway], dispatcher: [dispatcher], ingester: [ingester], redis, broker: [mosquitto] },
    };
    /** @type {Way} */
    const bareWay = {
      ...{ pool: direct, count, pathOf: (id) => `/call/${id}` },
      parts: { bare: [bare], broker: [mosquitto] },
    };
    const result = await use({ ours, bareWay, devices, stack });
    await Promise.all([direct.close(), pool.close(), devices.client.endAsync()]);
    return result;
  } finally {
    // One that has ended already must not hide why.
    for (const child of [bare, answering]) if (child.connected) child.send('stop');
    await stack.stop();
  }
}

/** Calls at an even rate. @param {Way} way @param {{ rate: number, seconds: number }} about */
export async function evenCalls(way, { rate, seconds }) {
  const before = cpuOf(way.parts);
  const from = performance.now();
  /** @type {Promise<import('./hops.mjs').TimedCall>[]} */
  const all = [];
  for (let i = 0; i < rate * seconds; i++) {
    const waitMs = from + (i * 1000) / rate - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    all.push(call(way));
  }
  const calls = await Promise.all(all);
  const times = calls.map((one) => one.to - one.from);
  const cpu = cpuSince(before, way.parts, times.length);
  return {
    p50: percentile(times, 0.5),
    p95: percentile(times, 0.95),
    p99: percentile(times, 0.99),
    cpu,
    cpuSum: Object.values(cpu).reduce((sum, value) => sum + value, 0),
    calls,
  };
}

/** Calls with a number of them under way. @param {Way} way @param {{ atOnce: number, seconds: number }} load @returns calls a second */
export async function callsAtOnce(way, { atOnce, seconds }) {
  const from = performance.now();
  const until = from + seconds * 1000;
  let made = 0;
  const worker = async () => {
    for (; performance.now() < until; made++) await call(way);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return (made * 1000) / (performance.now() - from);
}

/** The number of a call, counted over the whole run. */
let numbers = 0;

/** Makes a call, and waits for its answer. @param {Way} way @returns {Promise<import('./hops.mjs').TimedCall>} */
export async function call(way) {
  const n = numbers++;
  const from = performance.now();
  const { statusCode, body } = await way.pool.request({
    method: 'POST',
    path: way.pathOf(`bench-${n % way.count}`),
    headers: { 'content-type': 'application/json', prefer: `wait=${WAIT_SECONDS}` },
    body: JSON.stringify({ directive: 'bench:call', payload: { n }, response_timeout_seconds: WAIT_SECONDS }),
  });
  /** @type {any} */
  const message = await body.json();
  const to = performance.now();
  if (statusCode !== 200 || message.status !== 'answered' || message.answer?.payload?.n !== n) {
    throw new Error(`call ${n} ended with ${statusCode}: ${JSON.stringify(message)}`);
  }
  const { timeOrigin } = performance;
  return { n, id: message.message_id, from: timeOrigin + from, to: timeOrigin + to };
}
