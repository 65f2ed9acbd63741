/** What verifications cost, and how many messages need one. */
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectAsync } from 'mqtt';
import { ROOT } from '../scripts/setup.mjs';
import { startApp, startMosquitto, startRedis } from '../scripts/stack.mjs';
import { SHARE_GROUP, cost, handshake, retain, round } from './reconciliation-parts.mjs';
import { metric } from './measure.mjs';

const VERIFICATIONS = 'cloud_connector_verifications_total';
const PENDING = 'cloud_connector_verifications_pending';
const APPLIED = 'cloud_connector_mailbox_entries_applied_total';
// The defaults of the settings.
const KEY_PREFIX = 'cc';
const SHARDS = 32;
/** How many clients are verified at a time: well below the limit of a mailbox. */
const AT_ONCE = 20_000;
/** How many more handshakes each client sends after its first. */
const ROUNDS = 4;

/** @param {string} dir @param {string[]} config @param {number} clients */
export async function verify(dir, config, clients) {
  const { parts, env, device } = await start(dir, config, { VERIFY_RATE: '100000' });
  const [ingester] = parts.ingesters;
  const count = Math.min(clients, AT_ONCE);
  await retain(device, count, (i) => handshake(i));
  await cost(parts, async () => {
    const applied = await metric(ingester.url, APPLIED);
    if (applied < count) throw new Error(`${applied} applied`);
  });
  const rows = [];
  // The first run warms up: its code is not compiled yet.
  for (let n = 0; n < 3; n++) {
    const before = await metric(ingester.url, VERIFICATIONS);
    const asked = requestVerifications(env.REDIS_URL, count);
    const used = await cost(parts, async () => {
      await asked;
      const done = (await metric(ingester.url, VERIFICATIONS)) - before;
      if (done < count) throw new Error(`${done} verified`);
    });
    rows.push({
      verifications: count,
      ...used,
      'a second': Math.round(count / used.seconds),
      'CPU µs each': Math.round((used['CPU s'] / count) * 1e6),
      'Redis and broker': Math.round(((used['Redis CPU s'] + used['broker CPU s']) / count) * 1e6),
    });
  }
  await device.endAsync(true);
  return rows;
}

/** @param {string} dir @param {string[]} config @param {number} clients */
export async function lanes(dir, config, clients) {
  const count = Math.min(clients, AT_ONCE);
  const rows = [];
  for (const lanes of [1, 2, 4]) {
    const { parts, device } = await start(join(dir, `${lanes}`), config, { INTAKE_LANES: `${lanes}` });
    const [ingester] = parts.ingesters;
    const shares = [];
    const cpu = [];
    for (let n = 0; n <= ROUNDS; n++) {
      const verified = await metric(ingester.url, VERIFICATIONS);
      const applied = await metric(ingester.url, APPLIED);
      // In another order each time: otherwise each client would come through the same lane again.
      const published = retain(device, count, (i) => handshake(i, n), shuffled(count));
      const used = await cost(parts, async () => {
        await published;
        const results = (await metric(ingester.url, VERIFICATIONS)) - verified;
        const messages = (await metric(ingester.url, APPLIED)) - applied - results;
        if (messages < count) throw new Error(`${messages} applied`);
        const pending = await metric(ingester.url, PENDING);
        if (pending > 0) throw new Error(`${pending} are being verified`);
      });
      shares.push(((await metric(ingester.url, VERIFICATIONS)) - verified) / count);
      cpu.push((used['CPU s'] / count) * 1e6);
    }
    rows.push({
      lanes,
      'verifications a message, first of a client': round(shares[0] ?? NaN, 2),
      'later ones': round(mean(shares.slice(1)), 2),
      'CPU µs a message': Math.round(mean(cpu.slice(1))),
    });
    await device.endAsync(true);
    await ingester.stop();
    await Promise.all([parts.redis.stop(), parts.broker.stop()]);
  }
  return rows;
}

/** @param {string} dir @param {string[]} config @param {Record<string, string>} settings */
async function start(dir, config, settings) {
  const [redis, broker] = await Promise.all([startRedis({ dir }), startMosquitto({ dir, config })]);
  const env = { REDIS_URL: redis.url, MQTT_URL: broker.url, LOG_LEVEL: 'warn', SHARE_GROUP, ...settings };
  const ingester = await startApp('status-ingester', { dir, env });
  return {
    parts: { redis, broker, ingesters: /** @type {[typeof ingester]} */ ([ingester]) },
    env,
    device: await connectAsync(broker.url, { protocolVersion: 5 }),
  };
}

/** Has so many clients verified, from `client-0` on. @param {string} redisUrl @param {number} count */
export async function requestVerifications(redisUrl, count) {
  const registry = await import(join(ROOT, 'dist/libs/registry/src/index.js'));
  const { Mailboxes } = await import(join(ROOT, 'dist/libs/sharding/src/index.js'));
  const { shardOf } = await import(join(ROOT, 'dist/libs/protocol/src/index.js'));
  const redis = new Redis(redisUrl);
  const mailboxes = new Mailboxes(redis, new registry.RegistryKeys(KEY_PREFIX), count);
  const clientIds = Array.from({ length: count }, (_, i) => `client-${i}`);
  for (let shard = 0; shard < SHARDS; shard++) {
    const ofShard = clientIds.filter((clientId) => shardOf(clientId, SHARDS) === shard);
    await mailboxes.sendAll(
      shard,
      ofShard.map((clientId) => registry.encodeCommand({ clientId, command: { do: 'verify', reason: 'request' } })),
    );
  }
  redis.disconnect();
}

/** 0 to `count - 1`, in any order. @param {number} count */
function shuffled(count) {
  return Array.from({ length: count }, (_, i) => ({ i, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ i }) => i);
}

/** @param {number[]} values */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
