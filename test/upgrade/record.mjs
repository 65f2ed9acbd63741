/**
 * Records a data folder of the release that is checked out, for `upgrade.spec.ts` of later ones:
 *
 *   npm run build && node test/upgrade/record.mjs test/upgrade/data-0.1.0
 *
 * Plays clients and callers on a private system, moves all expiry times to the year 2100, kills the system, and copies the
 * files of Redis and Mosquitto. `known.json` beside them lists what a later release must still know.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Redis } from 'ioredis';
import mqtt from 'mqtt';
import {
  SAVED_AT_EACH_CHANGE,
  startApp,
  startMosquitto,
  startRedis,
  stopAll,
  waitUntil,
} from '../../scripts/stack.mjs';

const YEAR_2100 = 4_102_444_800_000;
const target = resolve(process.argv[2] ?? 'data');
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-record-'));
/** @type {mqtt.MqttClient[]} */
const devices = [];

async function record() {
  const redis = await startRedis({ dir, persist: true });
  const mosquitto = await startMosquitto({ dir, persist: true, config: SAVED_AT_EACH_CHANGE });
  writeFileSync(join(dir, 'accounts.json'), JSON.stringify({ clients: { 'host-of-acme': 'acme' } }));
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, ACCOUNTS_FILE: join(dir, 'accounts.json') };
  const [gateway, ingester, dispatcher] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env }),
    startApp('dispatcher', { dir, env }),
  ]);
  const api = new Caller(gateway.url);
  const cursor = await firstCursor(gateway.url);

  const online = await connect(mosquitto.url, 'host-online');
  const proxy = await connect(mosquitto.url, 'proxy-online');
  for (const id of ['host-gone', 'host-lost', 'host-refused', 'host-of-acme', 'summary']) {
    const device = await connect(mosquitto.url, id);
    await device.publishAsync(inTopic(id), handshake(id), { qos: 1, retain: true });
  }
  await online.publishAsync(inTopic('host-online'), handshake('host-online'), { qos: 1, retain: true });
  await proxy.publishAsync(
    inTopic('proxy-online'),
    envelope('proxy-handshake', {
      payload: { catalog_service_facts: { source_type: 'rhev', application_type: 'cat' } },
    }),
    { qos: 1, retain: true },
  );
  for (const id of ['host-online', 'proxy-online', 'host-gone', 'host-lost', 'host-refused', 'host-of-acme'])
    await api.until(`/v1/connections/${id}`, ({ state }) => state === 'online');

  // Dead letters and refusals.
  const bad = await connect(mosquitto.url, 'host-bad');
  await bad.publishAsync(inTopic('host-bad'), envelope('host-handshake', { payload: {} }), { qos: 1, retain: true });
  await bad.publishAsync(inTopic('host-bad'), 'not JSON', { qos: 1 });
  await api.until('/v1/cluster/dead-letters', ({ data }) => data.length >= 2);

  /** @type {Record<string, { id: string, client: string, status: string }>} */
  const messages = {};
  const send = async (
    /** @type {string} */ name,
    /** @type {string} */ client,
    /** @type {string} */ status,
    more = {},
    headers = {},
  ) => {
    const body = { directive: `test:${name}`, payload: { name }, ttl_seconds: 2_592_000, ...more };
    const { message_id: id } = await api.call('POST', `/v1/connections/${client}/messages`, body, headers);
    messages[name] = { id, client, status };
    return id;
  };
  const until = (/** @type {string} */ id, /** @type {string} */ status) =>
    api.until(`/v1/messages/${id}`, (message) => message.status === status);

  await until(await send('sent', 'host-online', 'sent'), 'sent');
  const failed = await send('failed', 'host-online', 'failed');
  await until(failed, 'sent');
  const error = envelope('message-error', { in_response_to: failed, payload: { details: 'no such job' } });
  await online.publishAsync(inTopic('host-online'), error, { qos: 1 });
  await until(failed, 'failed');

  await online.unsubscribeAsync(outTopic('host-online'));
  await until(await send('unheard', 'host-online', 'held'), 'held');
  // All kinds of goodbyes.
  await devices[2].publishAsync(inTopic('host-gone'), envelope('offline'), { qos: 1 });
  await devices[2].publishAsync(inTopic('host-gone'), '', { qos: 1, retain: true });
  await devices[3].publishAsync(inTopic('host-lost'), envelope('offline'), { qos: 1, retain: true });
  await devices[5].publishAsync(inTopic('host-of-acme'), '', { qos: 1, retain: true });
  await api.call('POST', '/v1/connections/host-refused/force-disconnect', { reconnect_after: 'never' });
  await devices[4].publishAsync(inTopic('host-refused'), '', { qos: 1, retain: true });
  for (const id of ['host-gone', 'host-lost', 'host-of-acme', 'host-refused'])
    await api.until(`/v1/connections/${id}`, ({ state }) => state === 'offline');

  for (const number of [1, 2, 3]) await send(`held-${number}`, 'host-gone', 'held');
  await send('held-with-key', 'host-lost', 'held', {}, { 'Idempotency-Key': 'key-1' });
  await send('held-of-acme', 'host-of-acme', 'held');
  const cancelled = await send('cancelled', 'host-gone', 'cancelled');
  await api.call('DELETE', `/v1/messages/${cancelled}`);
  await until(await send('expired', 'host-gone', 'expired', { ttl_seconds: 1 }), 'expired');

  // Without a dispatcher these messages stay in the outbox.
  await dispatcher.stop();
  await send('queued-1', 'proxy-online', 'queued');
  await send('queued-2', 'proxy-online', 'queued');

  await Promise.all([gateway.kill(), ingester.kill()]);
  await onRedis(redis.url, keepUntil2100);
  await waitUntil(() => save(mosquitto.pid ?? 0, join(dir, 'mosquitto/mosquitto.db')), {
    what: 'Mosquitto to save its database',
  });
  await mosquitto.kill();
  await redis.stop();

  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  cpSync(join(dir, 'redis'), join(target, 'redis'), { recursive: true });
  mkdirSync(join(target, 'mosquitto'));
  cpSync(join(dir, 'mosquitto/mosquitto.db'), join(target, 'mosquitto/mosquitto.db'));
  writeFileSync(join(target, 'known.json'), `${JSON.stringify({ cursor, messages }, undefined, 2)}\n`);
}

/** Makes Mosquitto write its database. @throws Error while the database does not hold the messages */
function save(/** @type {number} */ pid, /** @type {string} */ file) {
  process.kill(pid, 'SIGUSR1');
  const { stdout } = spawnSync('grep', ['-c', 'host-online', file], { encoding: 'utf8' });
  if (Number(stdout) < 1) throw new Error('not saved yet');
}

/** Moves all expiry times to the year 2100, and makes Redis write everything into one base file. */
async function keepUntil2100(/** @type {Redis} */ redis) {
  for (const key of await redis.keys('*')) {
    if (/:(expiry|finished)$/.test(key))
      for (const id of await redis.zrange(key, 0, -1)) await redis.zadd(key, YEAR_2100, id);
    if (key.endsWith(':todo'))
      for (const text of await redis.zrange(key, 0, -1))
        if (text.includes('"forget"')) await redis.zadd(key, YEAR_2100, text);
    if (/:message:[^:]*$/.test(key)) await redis.hset(key, 'expires_at', YEAR_2100);
    if (key.includes(':idempotency:')) await redis.pexpireat(key, YEAR_2100);
  }
  await redis.bgrewriteaof();
  await waitUntil(
    async () => {
      const info = await redis.info('persistence');
      if (!/aof_rewrite_in_progress:0/.test(info) || !/aof_rewrite_scheduled:0/.test(info))
        throw new Error('rewriting');
    },
    { what: 'Redis to rewrite its append-only file' },
  );
}

async function onRedis(/** @type {string} */ url, /** @type {(redis: Redis) => Promise<void>} */ act) {
  const redis = new Redis(url);
  await act(redis);
  redis.disconnect();
}

/** The first id of an event stream. The return ends the stream. */
async function firstCursor(/** @type {string} */ url) {
  const { body } = await fetch(`${url}/v1/events`);
  let text = '';
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString();
    const id = /^id: (.*)$/m.exec(text)?.[1];
    if (id !== undefined) return id;
  }
  throw new Error('no event stream');
}

async function connect(/** @type {string} */ url, /** @type {string} */ id) {
  const device = await mqtt.connectAsync(url, { clientId: id, protocolVersion: 5 });
  devices.push(device);
  await device.subscribeAsync(outTopic(id), { qos: 1 });
  return device;
}

function inTopic(/** @type {string} */ id) {
  return `redhat/insights/in/${id}`;
}

function outTopic(/** @type {string} */ id) {
  return `redhat/insights/out/${id}`;
}

function handshake(/** @type {string} */ id) {
  return envelope('host-handshake', { payload: { canonical_facts: { fqdn: `${id}.example.com` } } });
}

function envelope(/** @type {string} */ type, more = {}) {
  return JSON.stringify({ type, message_id: randomUUID(), version: 1, sent: new Date().toISOString(), ...more });
}

class Caller {
  constructor(/** @type {string} */ url) {
    this.url = url;
  }

  /** @returns {Promise<any>} */
  async call(
    /** @type {string} */ method,
    /** @type {string} */ path,
    /** @type {unknown} */ body = undefined,
    headers = {},
  ) {
    const json =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const response = await fetch(this.url + path, { method, ...json, headers: { ...json.headers, ...headers } });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  until(/** @type {string} */ path, /** @type {(body: any) => boolean} */ fits) {
    return waitUntil(
      async () => {
        const body = await this.call('GET', path);
        if (!fits(body)) throw new Error(JSON.stringify(body));
        return body;
      },
      { what: `${path} to fit` },
    );
  }
}

try {
  await record();
} finally {
  for (const device of devices) device.end(true);
  await stopAll();
  rmSync(dir, { recursive: true });
}
