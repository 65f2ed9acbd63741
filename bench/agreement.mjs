/**
 * `npm run bench -- agreement [--clients 100000] [--queues unlimited,default]`
 *
 * Sweeps of so many retained handshakes, by one ingester: the first, which builds the registry from nothing; one that
 * finds everything as it should be; and one that finds a hundredth of the clients gone. With a broker whose queues are
 * unlimited, and with Mosquitto's own limits, where reads are cut short.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../scripts/stack.mjs';
import { cpuSeconds, machine, rssMiB } from './measure.mjs';

const LIMITS = {
  unlimited: [],
  // What Mosquitto has where nothing is set.
  default: ['max_queued_messages 1000', 'max_inflight_messages 20'],
};
const SHARE_GROUP = 'bench';
const PATIENCE_MS = 600_000;

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      clients: { type: 'string', default: '100000' },
      queues: { type: 'string', default: 'unlimited,default' },
    },
  });
  const clients = Number(values.clients);
  console.log(machine());
  console.log(`${clients} retained handshakes`);
  for (const name of values.queues.split(',')) {
    const config = LIMITS[/** @type {keyof typeof LIMITS} */ (name)];
    if (config === undefined) throw new Error(`queues are ${Object.keys(LIMITS).join(' or ')}, not ${name}`);
    const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
    try {
      console.log(`queues ${name}:`);
      console.table(await measure(dir, config, clients));
    } finally {
      await stopAll();
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

/** @param {string} dir @param {string[]} config @param {number} clients */
async function measure(dir, config, clients) {
  const [redis, mosquitto] = await Promise.all([
    startRedis({ dir }),
    startMosquitto({ dir, config: [...config, 'sys_interval 1'] }),
  ]);
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: 'warn', SHARE_GROUP };
  const device = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  await retain(device, clients, (i) => handshake(i));
  const gateway = await startApp('api-gateway', { dir, env });
  const ingester = await startApp('status-ingester', { dir, env });
  /** @type {Record<string, unknown>} */
  const rows = {};
  const servers = { redis, broker: mosquitto };
  rows['from nothing'] = await watch({ ...servers, ingester }, gateway.url, clients);
  await call(gateway.url, 'POST', '/v1/cluster/sweeps');
  rows['nothing differs'] = await watch({ ...servers, ingester }, gateway.url, clients);
  // The lane must not hear it: the ingester is away meanwhile, and what waited for it is gone with its session.
  await ingester.stop();
  await endSession(mosquitto.url);
  await retain(device, clients / 100, () => '');
  const again = await startApp('status-ingester', { dir, env, name: 'ingester-2' });
  rows['a hundredth is gone'] = await watch({ ...servers, ingester: again }, gateway.url, clients - clients / 100);
  await device.endAsync(true);
  return rows;
}

/**
 * Waits until the registry has so many online, and a sweep has ended since.
 * @param {Record<'ingester' | 'redis' | 'broker', import('../scripts/stack.mjs').Part>} parts
 * @param {string} gateway @param {number} online
 */
async function watch(parts, gateway, online) {
  const { ingester } = parts;
  const since = Date.now();
  const cpu = cpuOf(parts);
  const before = rssMiB(ingester.pid);
  let peak = before;
  const timer = setInterval(() => (peak = Math.max(peak, rssMiB(ingester.pid))), 50);
  let sweeps = 0;
  let last = '';
  const sweep = await waitUntil(
    async () => {
      const found = await call(gateway, 'GET', '/v1/cluster/sweeps/latest');
      if (found.sweep_id !== last && found.sweep_id !== undefined) sweeps++;
      last = found.sweep_id ?? last;
      const summary = await call(gateway, 'GET', '/v1/connections/summary');
      if (summary.online?.total !== online) throw new Error(`${summary.online?.total} online`);
      if (found.state !== 'ended' || Date.parse(found.ended_at) < since) throw new Error('not swept');
      return found;
    },
    { what: 'the sweep', timeoutMs: PATIENCE_MS, everyMs: 50 },
  );
  const seconds = (Date.now() - since) / 1000;
  clearInterval(timer);
  const used = cpuOf(parts);
  return {
    's until it agrees': round(seconds),
    's of the last sweep': round((Date.parse(sweep.ended_at) - Date.parse(sweep.started_at)) / 1000),
    sweeps,
    complete: sweep.complete,
    read: sweep.read,
    'CPU s': round(used.ingester - cpu.ingester),
    'Redis CPU s': round(used.redis - cpu.redis),
    'broker CPU s': round(used.broker - cpu.broker),
    'MiB before': Math.round(before),
    'MiB at most': Math.round(peak),
  };
}

/** @param {Record<'ingester' | 'redis' | 'broker', import('../scripts/stack.mjs').Part>} parts */
function cpuOf({ ingester, redis, broker }) {
  return { ingester: cpuSeconds(ingester.pid), redis: cpuSeconds(redis.pid), broker: cpuSeconds(broker.pid) };
}

/** @param {import('mqtt').MqttClient} device @param {number} count @param {(i: number) => string} text */
async function retain(device, count, text) {
  for (let i = 0; i < count; i += 500) {
    const some = Array.from({ length: Math.min(500, count - i) }, (_, j) => i + j);
    const publish = (/** @type {number} */ n) =>
      device.publishAsync(`redhat/insights/in/client-${n}`, text(n), { qos: 1, retain: true });
    await Promise.all(some.map(publish));
  }
}

/** @param {number} i */
function handshake(i) {
  return JSON.stringify({
    ...{ type: 'host-handshake', message_id: `message-${i}`, version: 1, sent: new Date().toISOString() },
    payload: {
      canonical_facts: { insights_id: `insights-${i}`, fqdn: `host-${i}.example.com`, ip_addresses: ['10.0.0.1'] },
    },
  });
}

/** Ends the lane's session at the broker. @param {string} url */
async function endSession(url) {
  const lane = await connectAsync(url, { clientId: `${SHARE_GROUP}-lane-0`, clean: true, reconnectPeriod: 0 });
  await lane.endAsync();
}

/** @param {string} url @param {string} method @param {string} path @returns {Promise<any>} */
async function call(url, method, path) {
  const response = await fetch(url + path, { method });
  const text = await response.text();
  return text === '' ? {} : JSON.parse(text);
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
