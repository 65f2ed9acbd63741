/**
 * `npm run bench -- console [--connections 100000] [--calls 200] [--steps 2000] [--seconds 40] [--json FILE]`
 *
 * How long the calls take that show an operator the system, with many connections, a tenth of which belongs to an account. A tenth goes offline
 * and has two held messages each; as many messages are finished. Then each call is made one after the other: by a caller that reaches
 * everything, and by one that is bound to the account. Searches for messages take the pages one after the other, as a person would.
 *
 * Then a browser scrolls the list of connections, see `console-scrolling.mjs`: each scroll has so many steps, or takes so many seconds.
 *
 * `--json` writes `p95_ms` by call, and the table of `scrolling`.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';
import { Pool } from 'undici';
import { ensurePackages, ensurePrograms } from '../scripts/setup.mjs';
import { startApp, startStack } from '../scripts/stack.mjs';
import { inParallel, sendTo, untilOnline } from './devices.mjs';
import { machine, percentile, round } from './measure.mjs';

const KEY = 'used-here-only';

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      connections: { type: 'string', default: '100000' },
      calls: { type: 'string', default: '200' },
      steps: { type: 'string', default: '2000' },
      seconds: { type: 'string', default: '40' },
      json: { type: 'string' },
    },
  });
  ensurePackages('all');
  ensurePrograms(['chromium']);
  const { scrollConnections } = await import('./console-scrolling.mjs');
  const [connections, calls] = [Number(values.connections), Number(values.calls)];
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const all = Array.from({ length: connections }, (_, i) => `host-${String(i).padStart(6, '0')}`);
  const accounts = join(dir, 'accounts.json');
  const ofAccount = all.filter((_, i) => i % 10 === 0);
  writeFileSync(accounts, JSON.stringify({ clients: Object.fromEntries(ofAccount.map((id) => [id, 'acme'])) }));
  const keys = join(dir, 'keys.json');
  const sha256 = createHash('sha256').update(KEY).digest('hex');
  const scopes = ['connections:read', 'messages:read'];
  writeFileSync(keys, JSON.stringify({ keys: [{ id: 'bound', sha256, scopes, account: 'acme' }] }));
  const env = { LOG_LEVEL: process.env.LOG_LEVEL ?? 'warn', ACCOUNTS_FILE: accounts };
  const stack = await startStack({ dir, env, sourceMaps: false });
  const urls = { REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url, ...env };
  const bound = await startApp('api-gateway', {
    dir,
    name: 'gateway-bound',
    env: { ...urls, API_KEYS_FILE: keys },
    sourceMaps: false,
  });
  const device = await mqtt.connectAsync(stack.mosquitto.url, { protocolVersion: 5 });
  const pool = new Pool(stack.gateway.url, { connections: 4 });
  console.log(`${machine()}, ${connections} connections`);
  try {
    await device.subscribeAsync('redhat/insights/out/+', { qos: 1 });
    await changeState(device, all, 'host-handshake');
    await untilOnline(stack.gateway.url, connections);
    const gone = all.filter((_, i) => i % 10 < 2 && i % 20 < 10);
    const here = all.filter((_, i) => i % 10 === 5);
    await sendTo(pool, here, 2, { payload: { a: 1 } });
    await changeState(device, gone, 'offline');
    await untilOnline(stack.gateway.url, connections - gone.length);
    await sendTo(pool, gone, 2, { payload: { a: 1 } });

    /** @type {Record<string, { p50: number, p95: number, p99: number, most: number }>} */
    const table = {};
    const paths = {
      'stats, not kept': '/v1/stats',
      summary: '/v1/connections/summary',
      'connections, 100': '/v1/connections?limit=100',
      'by prefix': '/v1/connections?client_id_prefix=host-0123&limit=100',
      'with held messages': '/v1/connections?held=true&limit=100',
      refused: '/v1/connections?refused=true&limit=100',
      'offline for a reason': '/v1/connections?offline_reason=retained-offline&limit=100',
      'messages, 100': '/v1/messages?limit=100',
      'messages, held': '/v1/messages?status=held&limit=100',
      'messages, sent': '/v1/messages?status=sent&limit=100',
      'messages, failed (none)': '/v1/messages?status=failed&limit=100',
    };
    for (const [name, path] of Object.entries({ cluster: '/v1/cluster', ...paths })) {
      table[name] = await timesOf(stack.gateway.url, path, calls);
    }
    for (const [name, path] of Object.entries(paths)) {
      table[`${name} (of an account)`] = await timesOf(bound.url, path, calls, KEY);
    }
    console.table(table);
    const limits = { steps: Number(values.steps), seconds: Number(values.seconds) };
    const scrolled = await scrollConnections(stack.gateway.url, limits);
    console.table(scrolled.table);
    console.log(`${scrolled.loaded} connections were loaded; the objects of the page take ${scrolled.heapMiB} MiB`);
    const p95_ms = Object.fromEntries(Object.entries(table).map(([name, { p95 }]) => [name, p95]));
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify({ p95_ms, scrolling: scrolled.table }, null, 2)}\n`);
  } finally {
    await Promise.all([pool.close(), device.endAsync()]);
    await bound.stop();
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @param {string} url @param {string} path @param {number} calls @param {string} [key] */
async function timesOf(url, path, calls, key) {
  const headers = key === undefined ? undefined : { authorization: `Bearer ${key}` };
  /** @type {number[]} */
  const times = [];
  let cursor = '';
  for (let i = 0; i < calls; i++) {
    // An answer that is kept for a second would be measured otherwise.
    if (path === '/v1/stats') await new Promise((resolve) => setTimeout(resolve, i < 20 ? 1001 : 0));
    if (path === '/v1/stats' && i >= 20) break;
    const from = performance.now();
    const response = await fetch(`${url}${path}${cursor}`, headers && { headers });
    const text = await response.text();
    times.push(performance.now() - from);
    if (!response.ok) throw new Error(`${path}${cursor} was answered with ${response.status}: ${text}`);
    const { next_cursor: next = null } = JSON.parse(text);
    cursor = next === null ? '' : `&cursor=${next}`;
  }
  const of = (/** @type {number} */ share) => round(percentile(times, share), 1);
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99), most: round(Math.max(...times), 1) };
}

/** @param {mqtt.MqttClient} device @param {string[]} ids @param {'offline' | 'host-handshake'} type */
async function changeState(device, ids, type) {
  await inParallel(ids.length, 200, async (i) => {
    const id = ids[i] ?? '';
    const envelope = { type, message_id: randomUUID(), version: 1, sent: '2026-01-01T00:00:00+00:00' };
    const facts = { machine_id: randomUUID(), fqdn: `${id}.example.com`, ip_addresses: ['10.0.0.1'] };
    const text = JSON.stringify(type === 'offline' ? envelope : { ...envelope, payload: { canonical_facts: facts } });
    await device.publishAsync(`redhat/insights/in/${id}`, text, { qos: 1, retain: true });
  });
}
