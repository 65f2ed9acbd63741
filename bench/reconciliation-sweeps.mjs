/** What sweeps cost, and how long recovery takes after a crash of ingester, Redis and broker. */
import { connectAsync } from 'mqtt';
import { startApp, startMosquitto, startRedis } from '../scripts/stack.mjs';
import { SHARE_GROUP, call, cost, handshake, retain, round, swept } from './reconciliation-parts.mjs';

/** @param {string} dir @param {string[]} config @param {number} clients */
export async function sweep(dir, config, clients) {
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
  const parts = { ...servers, ingesters: [ingester] };
  rows['from nothing'] = await watch(parts, gateway.url, clients);
  await call(gateway.url, 'POST', '/v1/cluster/sweeps');
  rows['nothing differs'] = await watch(parts, gateway.url, clients);
  // Only a sweep may find this out: the ingester is stopped, and its session is removed with the messages in it.
  await ingester.stop();
  await endSession(mosquitto.url);
  await retain(device, clients / 100, () => '');
  const again = await startApp('status-ingester', { dir, env, name: 'ingester-2' });
  rows['a hundredth is gone'] = await watch({ ...servers, ingesters: [again] }, gateway.url, clients - clients / 100);
  await device.endAsync(true);
  return rows;
}

/**
 * The broker keeps what it retains, and each number of ingesters begins with an empty Redis.
 * @param {string} dir @param {string[]} config @param {number} clients @param {number[]} counts of ingesters
 */
export async function rebuild(dir, config, clients, counts) {
  const broker = await startMosquitto({ dir, config: [...config, 'sys_interval 1'] });
  const device = await connectAsync(broker.url, { protocolVersion: 5 });
  await retain(device, clients, (i) => handshake(i));
  await device.endAsync();
  const rows = [];
  for (const count of counts) {
    await endSession(broker.url);
    const redis = await startRedis({ dir });
    const env = { REDIS_URL: redis.url, MQTT_URL: broker.url, LOG_LEVEL: 'warn', SHARE_GROUP };
    const gateway = await startApp('api-gateway', { dir, env });
    const since = Date.now();
    const start = (/** @type {number} */ i) => startApp('status-ingester', { dir, env, name: `ingester-${i}` });
    const ingesters = await Promise.all(Array.from({ length: count }, (_, i) => start(i)));
    const parts = { redis, broker, ingesters };
    rows.push({ ingesters: count, sweep: 'from nothing', ...(await watch(parts, gateway.url, clients, since)) });
    await call(gateway.url, 'POST', '/v1/cluster/sweeps');
    rows.push({ ingesters: count, sweep: 'nothing differs', ...(await watch(parts, gateway.url, clients)) });
    await Promise.all([gateway, ...ingesters].map((app) => app.stop()));
    await redis.stop();
  }
  return rows;
}

/** @param {string} dir @param {string[]} config @param {number} clients */
export async function crash(dir, config, clients) {
  // The broker saves when it stops, and not while the handshakes are published.
  const persistence = { dir, config: [...config, 'autosave_interval 0'], persist: true };
  let redis = await startRedis({ dir });
  let mosquitto = await startMosquitto(persistence);
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, LOG_LEVEL: 'warn', SHARE_GROUP };
  const device = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  await retain(device, clients, (i) => handshake(i));
  await device.endAsync();
  const gateway = await startApp('api-gateway', { dir, env });
  const ingester = await startApp('status-ingester', { dir, env });
  await cost({ redis, broker: mosquitto, ingesters: [ingester] }, () => swept(gateway.url, clients, 0));
  const since = Date.now();
  await Promise.all([ingester.kill(), redis.kill(), mosquitto.stop()]);
  [redis, mosquitto] = await Promise.all([
    startRedis({ dir, port: redis.port }),
    startMosquitto({ ...persistence, port: mosquitto.port }),
  ]);
  const serversUp = Date.now();
  const again = await startApp('status-ingester', { dir, env, name: 'ingester-2' });
  const ingesterUp = Date.now();
  const parts = { redis, broker: mosquitto, ingesters: [again] };
  const used = await cost(parts, () => swept(gateway.url, clients, since));
  const at = (/** @type {number} */ when) => round((when - since) / 1000);
  const agreed = Date.now();
  const times = {
    's until servers are up': at(serversUp),
    'ingester is ready': at(ingesterUp),
    'it agrees': at(agreed),
  };
  return [{ ...times, ...used }];
}

/**
 * Waits until that many clients are online and a sweep has ended since the call.
 * @param {import('./reconciliation-parts.mjs').Parts} parts @param {string} gateway @param {number} online
 */
async function watch(parts, gateway, online, since = Date.now()) {
  /** @type {any} */
  let last = {};
  const { seconds, ...used } = await cost(parts, async () => {
    last = await swept(gateway, online, since);
  });
  return {
    's until it agrees': seconds,
    's of the last sweep': round((Date.parse(last.ended_at) - Date.parse(last.started_at)) / 1000),
    complete: last.complete,
    read: last.read,
    ...used,
  };
}

/** Ends the lane's session at the broker. @param {string} url */
async function endSession(url) {
  const lane = await connectAsync(url, { clientId: `${SHARE_GROUP}-lane-0`, clean: true, reconnectPeriod: 0 });
  await lane.endAsync();
}
