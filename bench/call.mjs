/**
 * `npm run bench -- call [--connections 100] [--rate 200] [--handshakes 500] [--at-once 64] [--seconds 10] [--json FILE] [--hops]`
 *
 * - Latency of a call, from the POST with `Prefer: wait` until its response has the device's answer, at an even rate: with
 *   nothing else to do, and beside handshakes of other clients. Beside it the bare way: a Fastify handler that publishes, and
 *   answers when the device's answer comes. The same on a Redis Cluster of three masters, with nothing else to do.
 * - Calls a second with a number of them under way, beside messages a second that are only sent, and how long a handshake takes
 *   until it is answered: without calls, and while they are made.
 *
 * Both ways run in turns, on one stack, until their ratio is steady or nine pairs have run. `--json` writes the medians of the
 * pairs. `--hops` measures only where the time of one call goes, from socket to socket, which costs some time by itself.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CalmClient } from './calm-client.mjs';
import { callsAtOnce, evenCalls, onCluster, onOneRedis, withWays } from './call-ways.mjs';
import { hopTable } from './hops.mjs';
import { machine, percentile, round, runScript } from './measure.mjs';
import { closedLoop } from './send-loops.mjs';
import { inTurns } from './turns.mjs';

/** How many handshakes are timed. */
const HANDSHAKES_TIMED = 100;
/** How long calls are made at full speed before anything is measured: until then Node compiles the apps. */
const WARM_UP_SECONDS = 5;
const NOTES_MS = 1000;

/** @typedef {import('./call-ways.mjs').Way} Way */

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
      hops: { type: 'boolean', default: false },
    },
  });
  const [count, rate, handshakes, atOnce, seconds] = [
    ...[values.connections, values.rate, values.handshakes, values['at-once'], values.seconds].map(Number),
  ];
  if (!count || !rate || handshakes === undefined || !atOnce || !seconds) throw new RangeError('a number is missing');
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const options = { dir, env: { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn', HANDSHAKE_RESPONSE: 'live' } };
  const about = { rate, seconds, atOnce };
  console.log(machine());
  try {
    if (values.hops) {
      await hops(options, count, about);
      return;
    }
    const figures = await withWays(onOneRedis(options), count, async ({ ours, bareWay, devices, stack }) => {
      await warmUp(ours, bareWay, atOnce);
      const idle = await latencies(`one call each ${1000 / rate} ms`, ours, bareWay, about);
      const load = () => runScript('load.mjs', [stack.mosquitto.url, handshakes * seconds, 10_000, 0, handshakes]);
      const beside =
        handshakes === 0
          ? undefined
          : await latencies(`the same beside ${handshakes} handshakes/s`, ours, bareWay, about, load);
      const capacity = await rates({ ...ours, devices }, stack.mosquitto.url, about);
      return {
        p50_times_direct_idle: round(idle.p50),
        p99_times_direct_idle: round(idle.p99),
        cpu_times_direct_idle: round(idle.cpu),
        ...(beside && {
          p50_times_direct_handshakes: round(beside.p50),
          p99_times_direct_handshakes: round(beside.p99),
        }),
        ...capacity,
      };
    });
    const ofCluster = await withWays(
      onCluster({ ...options, dir: join(dir, 'cluster') }),
      count,
      async ({ ours, bareWay }) => {
        await warmUp(ours, bareWay, atOnce);
        const name = `one call each ${1000 / rate} ms, on a Redis Cluster of three masters`;
        const { p50, p99, cpu } = await latencies(name, ours, bareWay, about);
        return {
          p50_times_direct_cluster: round(p50),
          p99_times_direct_cluster: round(p99),
          cpu_times_direct_cluster: round(cpu),
        };
      },
    );
    const text = JSON.stringify({ ...figures, ...ofCluster }, null, 2);
    console.log(text);
    if (values.json !== undefined) writeFileSync(values.json, `${text}\n`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** @param {Way} ours @param {Way} bareWay @param {number} atOnce */
async function warmUp(ours, bareWay, atOnce) {
  for (const way of [ours, bareWay]) await callsAtOnce(way, { atOnce, seconds: WARM_UP_SECONDS });
}

/**
 * Prints when each process reads and writes something of a call.
 * @param {import('./call-ways.mjs').StackOptions} options @param {number} count
 * @param {{ rate: number, seconds: number, atOnce: number }} about
 */
async function hops(options, count, about) {
  const file = join(options.dir, 'hop-times');
  // For all processes that are started from here on.
  const { NODE_OPTIONS = '' } = process.env;
  process.env.HOP_TIMES = file;
  process.env.NODE_OPTIONS = `${NODE_OPTIONS} --import ${new URL('hop-times.mjs', import.meta.url)}`;
  await withWays(onOneRedis(options), count, async ({ ours, bareWay, stack }) => {
    await warmUp(ours, bareWay, about.atOnce);
    const servers = {
      ...Object.fromEntries(stack.redis.map(({ port }) => [port, 'Redis'])),
      [stack.mosquitto.port]: 'the broker',
    };
    for (const way of [ours, bareWay]) {
      await new Promise((resolve) => setTimeout(resolve, NOTES_MS));
      if (existsSync(file)) rmSync(file);
      const { calls } = await evenCalls(way, about);
      await new Promise((resolve) => setTimeout(resolve, NOTES_MS));
      console.table(hopTable(file, calls, servers));
    }
  });
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

/**
 * Calls a second beside messages a second that are only sent, and how long handshakes take beside calls.
 * @param {Way & { devices: import('./devices.mjs').Devices }} way @param {string} broker its URL
 * @param {{ atOnce: number, seconds: number }} load
 */
async function rates(way, broker, { atOnce, seconds }) {
  await way.devices.listen();
  const calm = await CalmClient.connect(broker, 'calm-client');
  const alone = await handshakes(calm);
  /** @type {number[]} */
  const during = [];
  const { ratio, medianOf } = await inTurns(
    `calls a second of sends a second, ${atOnce} at once`,
    async () => {
      const calls = callsAtOnce(way, { atOnce, seconds });
      during.push(...(await handshakes(calm)));
      return calls;
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
