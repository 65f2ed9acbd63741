/**
 * `npm run bench -- idle [--seconds 60] [--rest 75] [--json FILE]`
 *
 * What a system costs that does nothing: one of each app, with the shipped settings and lease times. After the first sweep
 * and a rest it counts the CPU of every process; then `MONITOR`, which costs CPU itself, counts for the same time which
 * connection sends which commands, and how many run inside scripts.
 *
 * The rest: a minute after its start the ingester measures the queue of the broker, once, which takes 1.5 s of CPU. A shorter run
 * ends before that, with `--rest 15 --seconds 20`.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { startStack, waitUntil } from '../scripts/stack.mjs';
import { cpuSeconds, machine, round } from './measure.mjs';

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '60' },
      rest: { type: 'string', default: '75' },
      json: { type: 'string' },
    },
  });
  const seconds = Number(values.seconds);
  console.log(machine());
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const stack = await startStack({ dir, env: { LOG_LEVEL: 'error' } });
  const redis = new Redis(stack.redis.url, { connectionName: 'bench' });
  try {
    await waitUntil(() => firstSweepEnded(stack.gateway.url), {
      what: 'the end of the first sweep',
      timeoutMs: 60_000,
    });
    await sleep(Number(values.rest) * 1000);
    const cpu = await cpuShares(stack, seconds);
    const commands = await countCommands(redis, stack.redis.port, seconds);
    const { mosquitto, ...ours } = cpu;
    const percent = round(Object.values(ours).reduce((sum, one) => sum + one, 0));
    const figures = {
      cpu_percent: percent,
      cpu_percent_of: cpu,
      client_commands_per_second: round(total(commands.byClient)),
      script_commands_per_second: round(total(commands.inScripts)),
    };
    console.table({ '% of one core': { ...ours, 'all of ours and Redis': percent, mosquitto } });
    console.log(`commands a second, sent by clients: ${figures.client_commands_per_second}`);
    console.table(byRate(commands.byClient));
    console.log(`commands a second, inside scripts: ${figures.script_commands_per_second}`);
    console.table(byRate(commands.inScripts));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  } finally {
    redis.disconnect();
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @param {string} url */
async function firstSweepEnded(url) {
  /** @type {any} */
  const sweep = await (await fetch(`${url}/v1/cluster/sweeps/latest`)).json();
  if (typeof sweep.ended_at !== 'string') throw new Error(JSON.stringify(sweep));
}

/**
 * @param {Record<string, any>} stack @param {number} seconds
 * @returns {Promise<Record<string, number>>} CPU of each process in percent of one core
 */
async function cpuShares(stack, seconds) {
  const parts = ['gateway', 'ingester', 'dispatcher', 'redis', 'mosquitto'];
  const used = () => parts.map((part) => cpuSeconds(stack[part].pid));
  const from = performance.now();
  const before = used();
  await sleep(seconds * 1000);
  const after = used();
  const passed = (performance.now() - from) / 1000;
  return Object.fromEntries(
    parts.map((part, i) => [part, round((((after[i] ?? 0) - (before[i] ?? 0)) / passed) * 100)]),
  );
}

/**
 * Counts by `<connection> <command>`; a script is counted by the connection that sent it, and its commands by name.
 * @param {Redis} redis @param {number} port @param {number} seconds
 */
async function countCommands(redis, port, seconds) {
  /** @type {Record<string, number>} */
  const bySource = {};
  /** @type {Record<string, number>} */
  const inScripts = {};
  const names = await connectionNames(redis);
  // Not by `redis.monitor()`: ioredis takes the first line of MONITOR for a reply to another command if both arrive together.
  const monitor = new Redis({ host: '127.0.0.1', port, monitor: true });
  await once(monitor, 'monitoring');
  monitor.on(
    'monitor',
    (/** @type {string} */ _time, /** @type {string[]} */ [name = ''], /** @type {string} */ source) => {
      const counts = source === 'lua' ? inScripts : bySource;
      const key = source === 'lua' ? name.toLowerCase() : `${source} ${name.toLowerCase()}`;
      counts[key] = (counts[key] ?? 0) + 1;
    },
  );
  await sleep(seconds * 1000);
  monitor.disconnect();
  // Connections that were opened while it counted.
  for (const [address, name] of await connectionNames(redis)) names.set(address, name);
  /** @type {Record<string, number>} */
  const byClient = {};
  for (const [key, count] of Object.entries(bySource)) {
    const [address = '', command = ''] = key.split(' ');
    const name = names.get(address) ?? 'closed';
    if (name.startsWith('bench')) continue;
    byClient[`${name} ${command}`] = (byClient[`${name} ${command}`] ?? 0) + count / seconds;
  }
  for (const name of Object.keys(inScripts)) inScripts[name] = (inScripts[name] ?? 0) / seconds;
  return { byClient, inScripts };
}

/** @param {Redis} redis @returns {Promise<Map<string, string>>} address → name of each connection */
async function connectionNames(redis) {
  const list = /** @type {string} */ (await redis.client('LIST'));
  return new Map(
    list
      .trim()
      .split('\n')
      .map((line) => [/ addr=(\S+)/.exec(line)?.[1] ?? '', / name=(\S*)/.exec(line)?.[1] ?? '']),
  );
}

/** @param {Record<string, number>} rates */
function total(rates) {
  return Object.values(rates).reduce((sum, rate) => sum + rate, 0);
}

/** @param {Record<string, number>} rates highest first */
function byRate(rates) {
  const sorted = Object.entries(rates).sort(([, a], [, b]) => b - a);
  return Object.fromEntries(sorted.map(([name, rate]) => [name, { 'a second': round(rate) }]));
}
