/** Shared by the benchmarks of reconciliation: retained handshakes, and the time, CPU and memory that three processes use. */
import { waitUntil } from '../scripts/stack.mjs';
import { cpuSeconds, rssMiB } from './measure.mjs';

/** @typedef {import('../scripts/stack.mjs').Part} Part */
/** @typedef {{ ingesters: Part[], redis: Part, broker: Part }} Parts */

export const SHARE_GROUP = 'bench';
const PATIENCE_MS = 600_000;

/**
 * Waits until `check` no longer rejects. @returns the time, CPU and memory that this took: of all ingesters together, and of the
 * largest one
 * @param {Parts} parts @param {() => Promise<unknown>} check
 */
export async function cost(parts, check) {
  const { ingesters } = parts;
  const largest = () => Math.max(...ingesters.map(({ pid }) => rssMiB(pid)));
  const since = performance.now();
  const cpu = cpuOf(parts);
  const before = largest();
  let peak = before;
  const timer = setInterval(() => (peak = Math.max(peak, largest())), 50);
  try {
    await waitUntil(check, { what: 'registry and broker to agree', timeoutMs: PATIENCE_MS, everyMs: 50 });
  } finally {
    clearInterval(timer);
  }
  const used = cpuOf(parts);
  return {
    seconds: round((performance.now() - since) / 1000),
    'CPU s': round(used.ingester - cpu.ingester),
    'Redis CPU s': round(used.redis - cpu.redis),
    'broker CPU s': round(used.broker - cpu.broker),
    'MiB before': Math.round(before),
    'MiB at most': Math.round(peak),
  };
}

/** @param {Parts} parts */
function cpuOf({ ingesters, redis, broker }) {
  const ingester = ingesters.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  return { ingester, redis: cpuSeconds(redis.pid), broker: cpuSeconds(broker.pid) };
}

/**
 * The last sweep. @throws if it has not ended after `since`, or if another number of clients is online
 * @param {string} gateway @param {number} online @param {number} since
 */
export async function swept(gateway, online, since) {
  const found = await call(gateway, 'GET', '/v1/cluster/sweeps/latest');
  const summary = await call(gateway, 'GET', '/v1/connections/summary');
  if (summary.online?.total !== online) throw new Error(`${summary.online?.total} online`);
  if (found.state !== 'ended' || Date.parse(found.ended_at) < since) throw new Error('not swept');
  return found;
}

/**
 * @param {import('mqtt').MqttClient} device @param {number} count @param {(i: number) => string} text
 * @param {number[]} order of the clients
 */
export async function retain(device, count, text, order = Array.from({ length: count }, (_, i) => i)) {
  const publish = (/** @type {number} */ n) =>
    device.publishAsync(`redhat/insights/in/client-${n}`, text(n), { qos: 1, retain: true });
  for (let i = 0; i < count; i += 500) await Promise.all(order.slice(i, i + 500).map(publish));
}

/** @param {number} i */
export function handshake(i, round = 0) {
  return JSON.stringify({
    ...{ type: 'host-handshake', message_id: `message-${i}-${round}`, version: 1, sent: new Date().toISOString() },
    payload: {
      canonical_facts: { insights_id: `insights-${i}`, fqdn: `host-${i}.example.com`, ip_addresses: ['10.0.0.1'] },
    },
  });
}

/** @param {string} url @param {string} method @param {string} path @returns {Promise<any>} */
export async function call(url, method, path) {
  const response = await fetch(url + path, { method });
  const text = await response.text();
  return text === '' ? {} : JSON.parse(text);
}

/** @param {number} value */
export function round(value, digits = 1) {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
