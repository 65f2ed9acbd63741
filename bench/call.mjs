/**
 * `npm run bench -- call [--connections 100] [--rate 200] [--handshakes 500] [--at-once 64] [--seconds 10] [--json FILE]`
 *
 * - Latency of a call, from the POST with `Prefer: wait` until its response has the device's answer, at an even rate: with
 *   nothing else to do, and beside handshakes of other clients. Beside it the bare way: a Fastify handler that publishes, and
 *   answers when the device's answer comes.
 * - Calls a second with a number of them under way, beside messages a second that are only sent, and how long a handshake takes
 *   until it is answered: without calls, and while they are made.
 *
 * Both ways run in turns, on one stack, until their ratio is steady or nine pairs have run. `--json` writes the medians of the
 * pairs.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { startStack } from '../scripts/stack.mjs';
import { CalmClient } from './calm-client.mjs';
import { Devices } from './devices.mjs';
import { forkScript, machine, percentile, round, runScript } from './measure.mjs';
import { closedLoop, cpuOf, cpuSince } from './send-loops.mjs';
import { inTurns } from './turns.mjs';

/** Sockets to each way: an open loop must not wait for one. */
const SOCKETS = 256;
const WAIT_SECONDS = 20;
/** How many handshakes are timed. */
const HANDSHAKES_TIMED = 100;

/** @typedef {{ pool: Pool, pathOf: (id: string) => string, parts: import('./send-loops.mjs').Parts, count: number }} Way */

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '100' },
      rate: { type: 'string', default: '200' },
      handshakes: { type: 'string', default: '500' },
      'at-once': { type: 'string', default: '64' },
      seconds: { type: 'string', default: '10' },
      json: { type: 'string' },
    },
  });
  const [count, rate, handshakes, atOnce, seconds] = [
    ...[values.connections, values.rate, values.handshakes, values['at-once'], values.seconds].map(Number),
  ];
  if (!count || !rate || handshakes === undefined || !atOnce || !seconds) throw new RangeError('a number is missing');
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const stack = await startStack({
    dir,
    env: { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn', HANDSHAKE_RESPONSE: 'live' },
  });
  const [bare, answering] = [
    forkScript('bare-gateway.mjs', [stack.mosquitto.url]),
    forkScript('answering-devices.mjs', [stack.mosquitto.url]),
  ];
  const [[{ port }]] = await Promise.all([once(bare, 'message'), once(answering, 'message')]);
  const devices = await Devices.connect(stack.mosquitto.url);
  const [direct, gateway] = [`http://127.0.0.1:${port}`, stack.gateway.url].map(
    (url) => new Pool(url, { connections: SOCKETS }),
  );
  if (direct === undefined || gateway === undefined) throw new Error('no pools');
  console.log(machine());
  try {
    await devices.register(stack.gateway.url, count);
    await devices.pause();
    const { redis, mosquitto, ingester, dispatcher } = stack;
    /** @type {Way} */
    const ours = {
      ...{ pool: gateway, count, pathOf: (id) => `/v1/connections/${id}/messages` },
      parts: {
        ...{ gateway: [stack.gateway], dispatcher: [dispatcher], ingester: [ingester] },
        ...{ redis: [redis], broker: [mosquitto] },
      },
    };
    /** @type {Way} */
    const bareWay = {
      ...{ pool: direct, count, pathOf: (id) => `/call/${id}` },
      parts: { bare: [bare], broker: [mosquitto] },
    };
    const about = { rate, seconds };
    const idle = await latencies('one call each 5 ms', ours, bareWay, about);
    const load = () => runScript('load.mjs', [mosquitto.url, handshakes * seconds, 10_000, 0, handshakes]);
    const beside =
      handshakes === 0
        ? undefined
        : await latencies(`the same beside ${handshakes} handshakes/s`, ours, bareWay, about, load);
    const capacity = await rates({ ...ours, devices }, stack, { atOnce, seconds });
    const figures = {
      p50_times_direct_idle: round(idle.p50),
      p99_times_direct_idle: round(idle.p99),
      cpu_times_direct_idle: round(idle.cpu),
      ...(beside && { p50_times_direct_handshakes: round(beside.p50), p99_times_direct_handshakes: round(beside.p99) }),
      ...capacity,
    };
    console.log(JSON.stringify(figures, null, 2));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
    await Promise.all([direct.close(), gateway.close(), devices.client.endAsync()]);
  } finally {
    for (const child of [bare, answering]) child.send('stop');
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/**
 * Latencies of both ways, as ratios of the medians over the pairs.
 * @param {string} name @param {Way} ours @param {Way} bare @param {{ rate: number, seconds: number }} about
 * @param {() => Promise<unknown>} [beside] what else happens while calls are made
 */
async function latencies(name, ours, bare, about, beside = () => Promise.resolve()) {
  const runOf = (/** @type {Way} */ way) => async () => {
    const [measured] = await Promise.all([evenCalls(way, about), beside()]);
    return measured;
  };
  const { ratio, medianOf } = await inTurns(`p50, ${name}`, runOf(ours), runOf(bare), (a, b) => a.p50 / b.p50);
  const row = (/** @type {'ours' | 'bare'} */ way) => ({
    ...Object.fromEntries(
      /** @type {const} */ (['p50', 'p95', 'p99']).map((p) => [`${p} ms`, round(medianOf((pair) => pair[way][p]))]),
    ),
    'CPU µs': Math.round(medianOf((pair) => pair[way].cpuSum)),
    ...Object.fromEntries(
      Object.keys(way === 'ours' ? ours.parts : bare.parts).map((part) => [
        `${part} µs`,
        Math.round(medianOf((pair) => pair[way].cpu[part] ?? NaN)),
      ]),
    ),
  });
  console.table({ ours: row('ours'), bare: row('bare') });
  return {
    p50: ratio,
    p99: medianOf((pair) => pair.ours.p99 / pair.bare.p99),
    cpu: medianOf((pair) => pair.ours.cpuSum / pair.bare.cpuSum),
  };
}

/** Calls at an even rate. @param {Way} way @param {{ rate: number, seconds: number }} about */
async function evenCalls(way, { rate, seconds }) {
  const before = cpuOf(way.parts);
  const from = performance.now();
  /** @type {Promise<number>[]} */
  const all = [];
  for (let i = 0; i < rate * seconds; i++) {
    const waitMs = from + (i * 1000) / rate - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    all.push(call(way, i));
  }
  const times = await Promise.all(all);
  const cpu = cpuSince(before, way.parts, times.length);
  return {
    p50: percentile(times, 0.5),
    p95: percentile(times, 0.95),
    p99: percentile(times, 0.99),
    cpu,
    cpuSum: Object.values(cpu).reduce((sum, value) => sum + value, 0),
  };
}

/** Makes a call. @param {Way} way @param {number} n @returns {Promise<number>} milliseconds until its answer */
async function call(way, n) {
  const from = performance.now();
  const { statusCode, body } = await way.pool.request({
    method: 'POST',
    path: way.pathOf(`bench-${n % way.count}`),
    headers: { 'content-type': 'application/json', prefer: `wait=${WAIT_SECONDS}` },
    body: JSON.stringify({ directive: 'bench:call', payload: { n }, response_timeout_seconds: WAIT_SECONDS }),
  });
  /** @type {any} */
  const message = await body.json();
  const ms = performance.now() - from;
  if (statusCode !== 200 || message.status !== 'answered' || message.answer?.payload?.n !== n) {
    throw new Error(`call ${n} ended with ${statusCode}: ${JSON.stringify(message)}`);
  }
  return ms;
}

/**
 * Calls a second beside messages a second that are only sent, and how long handshakes take beside calls.
 * @param {Way & { devices: Devices }} way @param {Awaited<ReturnType<typeof startStack>>} stack
 * @param {{ atOnce: number, seconds: number }} load
 */
async function rates(way, stack, { atOnce, seconds }) {
  await way.devices.listen();
  const calm = await CalmClient.connect(stack.mosquitto.url, 'calm-client');
  const alone = await handshakes(calm);
  /** @type {number[]} */
  const during = [];
  const { ratio, medianOf } = await inTurns(
    `calls a second of sends a second, ${atOnce} at once`,
    async () => {
      const from = performance.now();
      const until = from + seconds * 1000;
      let made = 0;
      const worker = async (/** @type {number} */ n) => {
        for (let i = n; performance.now() < until; i += atOnce, made++) await call(way, i);
      };
      const workers = Promise.all(Array.from({ length: atOnce }, (_, n) => worker(n)));
      during.push(...(await handshakes(calm)));
      await workers;
      return (made * 1000) / (performance.now() - from);
    },
    async () => {
      const { accepted } = await closedLoop(way, { atOnce, seconds });
      return accepted / seconds;
    },
    (calls, sends) => calls / sends,
  );
  await calm.mqtt.endAsync();
  console.log(
    `${Math.round(medianOf(({ ours }) => ours))} calls/s, ${Math.round(medianOf(({ bare }) => bare))} sends/s; a handshake is answered ` +
      `after ${round(percentile(alone, 0.5))} ms (p99 ${round(percentile(alone, 0.99))}), beside calls after ` +
      `${round(percentile(during, 0.5))} ms (p99 ${round(percentile(during, 0.99))})`,
  );
  return {
    calls_of_sends: round(ratio),
    handshake_p50_ms_alone: round(percentile(alone, 0.5)),
    handshake_p50_ms_beside_calls: round(percentile(during, 0.5)),
  };
}

/** How long handshakes take, one after the other. @param {CalmClient} client */
async function handshakes(client) {
  /** @type {number[]} */
  const times = [];
  while (times.length < HANDSHAKES_TIMED) times.push(await client.shakeHands());
  return times;
}
