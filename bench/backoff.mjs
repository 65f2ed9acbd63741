/**
 * `npm run bench -- backoff [--clients 100]`
 *
 * Clients that are online but do not subscribe, each with a message in a back-off of a minute. Measures how long such a
 * message takes when its client subscribes again: from the handshake to the arrival, one client after the other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import mqtt from 'mqtt';
import { Pool } from 'undici';
import { startStack, waitUntil } from '../scripts/stack.mjs';
import { message, post } from './devices.mjs';
import { machine, percentile, round } from './measure.mjs';

/** After that many tries the next back-off is the longest one. */
const MANY_TRIES = 10;

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({ args, options: { clients: { type: 'string', default: '100' } } });
  const clients = Number(values.clients);
  console.log(`${machine()}\n${clients} clients, each with a message in a back-off of a minute`);
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const stack = await startStack({ dir, env: { LOG_LEVEL: 'error' } });
  const redis = new Redis(stack.redis.url);
  const device = await mqtt.connectAsync(stack.mosquitto.url, { protocolVersion: 5 });
  const api = new Pool(stack.gateway.url, { connections: 8 });
  try {
    const ids = Array.from({ length: clients }, (_, i) => `deaf-${i}`);
    for (const id of ids) await shakeHands(device, id);
    await waitUntil(async () => {
      /** @type {any} */
      const summary = await (await fetch(`${stack.gateway.url}/v1/connections/summary`)).json();
      if (summary.online.total < clients) throw new Error(`${summary.online.total} are online`);
    });
    for (const [n, id] of ids.entries()) await post(api, `/v1/connections/${id}/messages`, message(n));
    const keys = await redis.keys('cc:{*}:message:*');
    /** Waits until each message has had that many tries and waits for the next one. */
    const tried = (/** @type {number} */ often) =>
      waitUntil(async () => {
        for (const key of keys) {
          const [attempts, unheard] = await redis.hmget(key, 'attempts', 'unheard');
          if (Number(attempts) < often || unheard !== '1') throw new Error(`${key} was tried ${attempts} times`);
        }
      });
    await tried(1);
    for (const key of keys) await redis.hset(key, 'attempts', MANY_TRIES);
    // The longest back-off follows the next try, a second or two later.
    await tried(MANY_TRIES + 1);
    const times = [];
    for (const id of ids) {
      await device.subscribeAsync(`redhat/insights/out/${id}`, { qos: 1 });
      /** @type {Promise<number>} */
      const arrival = new Promise((resolve) => device.once('message', () => resolve(performance.now())));
      const from = performance.now();
      await shakeHands(device, id);
      times.push((await arrival) - from);
    }
    console.table({
      'handshake → message': {
        'p50 ms': round(percentile(times, 0.5), 1),
        'p99 ms': round(percentile(times, 0.99), 1),
      },
    });
  } finally {
    await Promise.all([device.endAsync(), api.close()]);
    redis.disconnect();
    await stack.stop();
    rmSync(dir, { recursive: true });
  }
}

/** @param {mqtt.MqttClient} device @param {string} id */
function shakeHands(device, id) {
  const handshake = {
    type: 'host-handshake',
    message_id: `${id}-${performance.now()}`,
    version: 1,
    sent: new Date().toISOString(),
    payload: { canonical_facts: { fqdn: `${id}.example.com` } },
  };
  return device.publishAsync(`redhat/insights/in/${id}`, JSON.stringify(handshake), { qos: 1, retain: true });
}
