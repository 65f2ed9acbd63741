/**
 * `npm run bench -- kills [--rate 100] [--rounds 3] [--parts dispatcher,ingester,broker]`
 *
 * How long messages and handshakes stand still when a part is killed, with the lease times that are shipped: the longest time from
 * a POST to its device, and the longest time without an answer to a handshake in one shard. There are two ingesters and two dispatchers, and one that is
 * killed is not started again. The broker is; its times count from its return, and clients connect again at once.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';
import { Pool } from 'undici';
import { SAVED_AT_EACH_CHANGE, startApp, startMosquitto, startStack, stopAll, waitUntil } from '../scripts/stack.mjs';
import { ROOT } from '../scripts/setup.mjs';
import { message } from './devices.mjs';
import { machine, metric } from './measure.mjs';

/** Clients that get messages, and clients that shake hands: some for each shard. */
const CLIENTS = 100;
const SHARDS = 32;
/** The load before a kill, how long the broker is away, and the load until all is well again. */
const TIMES_MS = { before: 3000, away: 1000, after: 10_000 };
/** So many handshakes for each message: without a kill, the answers of a shard have gaps as well. */
const HANDSHAKES = 2;
/** When a request that was answered with 503 is repeated. */
const AGAIN_MS = 50;
/** A message or a handshake that takes longer fails the benchmark. */
const LOST_MS = 60_000;

/** @typedef {'dispatcher' | 'ingester' | 'broker'} Killed */
/** @typedef {{ key: string, sentAt: number, arrivedAt: number }} Arrival by `performance.now()` */

/** @param {string[]} args */
export async function run(args) {
  const { values } = parseArgs({
    args,
    options: {
      rate: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '3' },
      parts: { type: 'string', default: 'dispatcher,ingester,broker' },
    },
  });
  console.log(machine());
  /** @type {Record<string, Record<string, string>>} */
  const rows = {};
  for (const killed of /** @type {Killed[]} */ (values.parts.split(','))) {
    /** @type {Awaited<ReturnType<typeof round>>[]} */
    const rounds = [];
    for (let i = 0; i < Number(values.rounds); i++) rounds.push(await round(killed, Number(values.rate)));
    const list = (/** @type {(one: typeof rounds[0]) => number} */ figure) =>
      rounds.map((one) => Math.round(figure(one))).join(', ');
    rows[killed] = {
      'POST → device, longest ms': list((one) => one.messages),
      'answers of one shard, longest gap ms': list((one) => one.handshakes),
    };
  }
  console.table(rows);
}

/** One kill, on a system of its own. @param {Killed} killed @param {number} perSecond */
async function round(killed, perSecond) {
  const dir = mkdtempSync(join(tmpdir(), 'cc-bench-'));
  const env = { LOG_LEVEL: process.env.LOG_LEVEL ?? 'error', HANDSHAKE_RESPONSE: 'live' };
  // Only a broker that is killed has to save each change. It would write all that waits for a lane, 300 times a second.
  const broker = killed === 'broker' ? SAVED_AT_EACH_CHANGE : [];
  const stack = await startStack({ dir, env, persist: true, broker });
  const urls = { ...env, REDIS_URL: stack.redis.url, MQTT_URL: stack.mosquitto.url };
  const ingester = await startApp('status-ingester', { dir, env: urls, name: 'status-ingester-2' });
  await startApp('dispatcher', { dir, env: urls, name: 'dispatcher-2' });
  await waitUntil(
    async () => {
      if ((await metric(ingester.url, 'cloud_connector_shards_owned')) === 0) throw new Error('it owns no shards');
    },
    { what: 'shards of the second ingester' },
  );
  const clients = await Clients.connect(stack.mosquitto.url);
  const api = new Pool(stack.gateway.url, { connections: 64 });
  try {
    await clients.shakeHands();
    const messages = evenly(perSecond, (n) => clients.sendTo(n, api));
    const handshakes = evenly(HANDSHAKES * perSecond, (n) => clients.shakeHand(n));
    // Anywhere between two renewals of a lease.
    await sleep(TIMES_MS.before + Math.random() * 2000);
    const from = await kill(killed, stack, dir);
    await sleep(TIMES_MS.after);
    const longest = (/** @type {Arrival[]} */ arrivals) =>
      Math.max(...arrivals.map(({ sentAt, arrivedAt }) => arrivedAt - Math.max(sentAt, from)));
    return { messages: longest(await messages.end()), handshakes: await longestGap(await handshakes.end(), from) };
  } finally {
    await Promise.all([clients.end(), api.close()]);
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/** @param {Killed} killed @param {Awaited<ReturnType<typeof startStack>>} stack @param {string} dir @returns when it began to count */
async function kill(killed, stack, dir) {
  if (killed === 'broker') {
    await stack.mosquitto.kill();
    await sleep(TIMES_MS.away);
    await startMosquitto({ dir, port: stack.mosquitto.port, persist: true, config: SAVED_AT_EACH_CHANGE });
  } else await stack[killed].kill();
  return performance.now();
}

/** The longest time without an arrival in a shard. @param {Arrival[]} arrivals of handshakes @param {number} from */
async function longestGap(arrivals, from) {
  /** @type {typeof import('../libs/protocol/src/index.js')} */
  const { shardOf } = await import(join(ROOT, 'dist/libs/protocol/src/index.js'));
  /** @type {Map<number, number>} */
  const last = new Map();
  let longest = 0;
  for (const { key, arrivedAt } of arrivals.toSorted((a, b) => a.arrivedAt - b.arrivedAt)) {
    if (arrivedAt < from) continue;
    const shard = shardOf(key.slice(0, key.lastIndexOf('-')), SHARDS);
    longest = Math.max(longest, arrivedAt - (last.get(shard) ?? from));
    last.set(shard, arrivedAt);
  }
  return longest;
}

/** Acts at an even rate, whatever becomes of the earlier acts. @param {number} perSecond @param {(n: number) => Promise<Arrival>} act */
function evenly(perSecond, act) {
  /** @type {Promise<Arrival>[]} */
  const acts = [];
  const from = performance.now();
  const timer = setInterval(() => {
    while (acts.length < ((performance.now() - from) / 1000) * perSecond) {
      const one = act(acts.length);
      one.catch(() => undefined);
      acts.push(one);
    }
  }, 5);
  return {
    end() {
      clearInterval(timer);
      return Promise.all(acts);
    },
  };
}

/** All clients, on one connection to the broker. */
class Clients {
  /** What arrives for a key: the number of a message, or the id of a handshake. @type {Map<string, (at: number) => void>} */
  waiting = new Map();
  handshakes = 0;

  /** @param {mqtt.MqttClient} client */
  constructor(client) {
    this.client = client;
    client.on('message', (topic, data) => {
      const { type, payload, in_response_to } = JSON.parse(data.toString());
      const at = performance.now();
      if (type === 'message') this.waiting.get(`message-${payload.n}`)?.(at);
      else this.answered(topic.slice(topic.lastIndexOf('/') + 1), in_response_to, at);
    });
  }

  /** @param {string} url */
  static async connect(url) {
    const client = await mqtt.connectAsync(url, {
      ...{ clientId: 'bench-clients', protocolVersion: 5, reconnectPeriod: 20 },
      ...{ clean: false, properties: { sessionExpiryInterval: 3600 } },
    });
    await client.subscribeAsync('redhat/insights/out/+', { qos: 1 });
    return new Clients(client);
  }

  /** If several answers wait, only the newest is sent: it ends the time of the handshakes before it, too. */
  answered(/** @type {string} */ clientId, /** @type {string} */ answer, /** @type {number} */ at) {
    for (const [key, arrived] of this.waiting) {
      if (key.startsWith(`${clientId}-`)) arrived(at);
      if (key === answer) return;
    }
  }

  async shakeHands() {
    for (let n = 0; n < 2 * CLIENTS; n++) await this.shakeHand(n);
  }

  /** @param {string} key @param {number} sentAt @returns {Promise<Arrival>} */
  arrival(key, sentAt) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${key} has not arrived`)), LOST_MS);
      this.waiting.set(key, (arrivedAt) => {
        clearTimeout(late);
        this.waiting.delete(key);
        resolve({ key, sentAt, arrivedAt });
      });
    });
  }

  /** Repeats a request that is answered with 503, as callers do. @param {number} n @param {Pool} api */
  async sendTo(n, api) {
    const arrival = this.arrival(`message-${n}`, performance.now());
    arrival.catch(() => undefined);
    for (;;) {
      const { statusCode, body } = await api.request({
        method: 'POST',
        path: `/v1/connections/kills-${n % CLIENTS}/messages`,
        headers: { 'content-type': 'application/json', 'idempotency-key': `kills-${n}` },
        body: JSON.stringify(message(n)),
      });
      await body.dump();
      if (statusCode === 202) return arrival;
      if (statusCode !== 503) throw new Error(`a message was refused with ${statusCode}`);
      await sleep(AGAIN_MS);
    }
  }

  /** Shakes hands for the clients by turns. @param {number} n */
  shakeHand(n) {
    const id = `kills-${n % (2 * CLIENTS)}`;
    const message_id = `${id}-${this.handshakes++}`;
    const arrival = this.arrival(message_id, performance.now());
    const handshake = {
      ...{ type: 'host-handshake', message_id, version: 1, sent: new Date().toISOString() },
      payload: { canonical_facts: { fqdn: `${id}.example.com` } },
    };
    this.client.publish(`redhat/insights/in/${id}`, JSON.stringify(handshake), { qos: 1, retain: true });
    return arrival;
  }

  end() {
    return this.client.endAsync(true);
  }
}
