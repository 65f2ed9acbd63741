/** All devices of the send benchmark, on one MQTT connection, and the requests that send to them. */
import mqtt from 'mqtt';
import { waitUntil } from '../scripts/stack.mjs';

/** @typedef {import('undici').Pool} Pool */

const MOST_IN_A_BATCH = 1000;

const OUT_TOPICS = 'redhat/insights/out/+';
/** The message number, counted over the whole run. */
let numbers = 0;

export class Devices {
  /** @type {Map<number, (at: number) => void>} */
  waiting = new Map();

  /** @param {mqtt.MqttClient} client */
  constructor(client) {
    this.client = client;
    client.on('message', (_topic, data) => {
      const at = performance.now();
      const { payload } = JSON.parse(data.toString());
      // Messages of the service itself have no number.
      this.waiting.get(payload?.n)?.(at);
      this.waiting.delete(payload?.n);
    });
  }

  /** @param {string} url */
  static async connect(url) {
    const client = await mqtt.connectAsync(url, { protocolVersion: 5 });
    await client.subscribeAsync(OUT_TOPICS, { qos: 1 });
    return new Devices(client);
  }

  /** Receives nothing until `listen`: another client serves the messages. */
  async pause() {
    await this.client.unsubscribeAsync(OUT_TOPICS);
  }

  async listen() {
    await this.client.subscribeAsync(OUT_TOPICS, { qos: 1 });
  }

  /** @param {string} api @param {number} count */
  async register(api, count) {
    for (let i = 0; i < count; i++) {
      const handshake = {
        type: 'host-handshake',
        message_id: `bench-${i}`,
        version: 1,
        sent: '2026-01-01T00:00:00+00:00',
        payload: { canonical_facts: { fqdn: `bench-${i}.example.com` } },
      };
      this.client.publish(`redhat/insights/in/bench-${i}`, JSON.stringify(handshake), { qos: 1, retain: true });
    }
    await waitUntil(async () => {
      /** @type {any} */
      const summary = await (await fetch(`${api}/v1/connections/summary`)).json();
      if (summary.online.total < count) throw new Error(`${summary.online.total} are online`);
    });
  }

  /** The next number of a message, and the time at which it arrives. @returns {{ n: number, arrival: Promise<number> }} */
  next() {
    const n = numbers++;
    return { n, arrival: new Promise((resolve) => this.waiting.set(n, resolve)) };
  }

  /** The message with this number was not accepted. @param {number} n */
  forget(n) {
    this.waiting.delete(n);
  }
}

/** @param {Pool} pool @param {string} path @param {unknown} body @returns {Promise<any>} */
export async function post(pool, path, body) {
  const response = await pool.request({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.body.json();
  if (response.statusCode >= 300) throw new Error(`POST ${path} answered ${response.statusCode}`);
  return answer;
}

/** What is sent with a number. @param {number} n */
export function message(n) {
  return { directive: 'bench:message', payload: { n } };
}

/** @param {number} count @param {number} atOnce @param {(n: number) => Promise<unknown>} act */
export async function inParallel(count, atOnce, act) {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await act(next++);
    }),
  );
}

/**
 * Accepts messages in batches.
 * @param {Pool} pool @param {string[]} ids @param {number} each messages to each client @param {object} members of each message
 */
export async function sendTo(pool, ids, each, members) {
  const all = ids.flatMap((id) => Array.from({ length: each }, () => id));
  await inParallel(Math.ceil(all.length / MOST_IN_A_BATCH), 2, async (i) => {
    const some = all.slice(i * MOST_IN_A_BATCH, (i + 1) * MOST_IN_A_BATCH);
    const { results } = await post(pool, '/v1/messages', {
      messages: some.map((id) => ({ client_id: id, directive: 'bench:message', ...members })),
    });
    for (const { status } of results) if (status !== 202) throw new Error(`an item was answered with ${status}`);
  });
}

/** @param {string} api @param {number} count */
export async function untilOnline(api, count) {
  await waitUntil(
    async () => {
      /** @type {any} */
      const summary = await (await fetch(`${api}/v1/connections/summary`)).json();
      if (summary.online.total !== count) throw new Error(`${summary.online.total} of ${count} are online`);
    },
    { what: `${count} clients online`, timeoutMs: 180_000 },
  );
}
