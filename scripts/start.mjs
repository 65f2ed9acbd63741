/**
 * `npm start`: starts the whole system from a bare clone, with three simulated devices that answer. `npm start -- --devices 25`
 * connects more, `--devices 0` none.
 * Settings: DATA_DIR, GATEWAY_PORT, INGESTER_PORT, DISPATCHER_PORT, MQTT_PORT, REDIS_PORT; REDIS_URL and MQTT_URL
 * point to servers of your own. The apps get all other settings unchanged.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fleetText, onlineDevices } from './fleet-online.mjs';
import { ROOT, SetupError, ensureBuild, ensurePackages, ensurePrograms } from './setup.mjs';
import { Ports } from './ports.mjs';
import { ownServers, ownServersHint } from './own-servers.mjs';
import {
  EndedEarlyError,
  NotReadyError,
  running,
  startApp,
  startFleet,
  startMosquitto,
  startRedis,
  stopAll,
} from './stack.mjs';
import { tryIt } from './try-it.mjs';

const USAGE = `npm start [-- --devices NUMBER]    so many simulated devices, 3 without it

In the environment: DATA_DIR, GATEWAY_PORT, INGESTER_PORT, DISPATCHER_PORT, MQTT_PORT, REDIS_PORT; REDIS_URL and MQTT_URL for
servers of your own. The apps get all other settings (docs/configuration.md).`;
const dir = resolve(ROOT, process.env.DATA_DIR || '.data');
const lock = join(dir, 'start.pid');
const ports = new Ports(process.env, (line) => console.log(line), join(dir, 'ports.json'));
let stopping = false;

try {
  await main();
} catch (error) {
  // While it stops, parts end that were not ready yet.
  if (!stopping) console.error(textOf(error));
  await stop(1);
}

/** An app that refuses to start, or does not become ready, says why in one line. */
function textOf(/** @type {unknown} */ error) {
  if (error instanceof SetupError) return `\n${error.message}`;
  if (error instanceof NotReadyError)
    return `\n${error.part} is not ready: ${error.reason}\nSee ${error.log}${ownServersHint(process.env)}`;
  if (error instanceof EndedEarlyError && error.reason !== undefined)
    return `\n${error.part} did not start: ${error.reason}\nSee ${error.log}${ownServersHint(process.env)}`;
  return error;
}

async function main() {
  const devices = deviceCount();
  for (const line of ownServers(process.env)) console.log(line);
  ensurePackages('run');
  /** @type {import('./setup.mjs').Program[]} */
  const servers = [];
  if (!process.env.REDIS_URL) servers.push('redis-server');
  if (!process.env.MQTT_URL) servers.push('mosquitto');
  ensurePrograms(servers);
  ensureBuild();
  takeFolder();
  process.on('SIGINT', () => void stop(0));
  process.on('SIGTERM', () => void stop(0));

  const redisUrl =
    process.env.REDIS_URL ||
    watched(await ports.start('REDIS_PORT', 6379, (port) => startRedis({ dir, persist: true, port }))).url;
  const mqttUrl =
    process.env.MQTT_URL ||
    watched(await ports.start('MQTT_PORT', 1883, (port) => startMosquitto({ dir, persist: true, port }))).url;
  const env = { REDIS_URL: redisUrl, MQTT_URL: mqttUrl };
  const appOn = (/** @type {import('./stack.mjs').AppName} */ app) => (/** @type {number} */ port) =>
    startApp(app, { dir, env, port, onUnready });
  const [gateway] = await Promise.all([
    ports.start('GATEWAY_PORT', 3000, appOn('api-gateway')).then(watched),
    ports.start('INGESTER_PORT', 3001, appOn('status-ingester')).then(watched),
    ports.start('DISPATCHER_PORT', 3002, appOn('dispatcher')).then(watched),
  ]);
  if (stopping) return;
  if (devices > 0) watched(startFleet({ dir, count: devices, mqttUrl }));
  const online = devices > 0 ? await onlineDevices(gateway.url, devices) : 0;
  // In that time Ctrl-C may have come, or a part has ended.
  if (!stopping) announce(gateway.url, mqttUrl, devices, online);
}

/** @returns how many simulated devices are wanted */
function deviceCount() {
  const count = Number(readOptions().devices);
  if (!Number.isInteger(count) || count < 0 || count > 10_000) {
    throw new SetupError('--devices must be a whole number from 0 to 10000');
  }
  return count;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: { devices: { type: 'string', default: '3' }, help: { type: 'boolean', short: 'h' } },
    });
    if (!values.help) return values;
  } catch (error) {
    throw new SetupError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
  console.log(USAGE);
  process.exit(0);
}

/** Locks the data folder: two systems on one folder would write into each other's data. */
function takeFolder() {
  mkdirSync(dir, { recursive: true });
  try {
    writeFileSync(lock, `${process.pid}`, { flag: 'wx' });
  } catch {
    const holder = Number(readFileSync(lock, 'utf8'));
    if (isAlive(holder)) {
      throw new SetupError(
        `A system is already running on ${dir} (process ${holder}). Stop it, or set DATA_DIR to another folder.`,
      );
    }
    writeFileSync(lock, `${process.pid}`);
  }
  process.on('exit', () => {
    if (readFileSync(lock, 'utf8') === `${process.pid}`) rmSync(lock);
  });
}

function isAlive(/** @type {number} */ pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string} api
 * @param {string} mqttUrl
 * @param {number} devices
 * @param {number | undefined} online
 */
function announce(api, mqttUrl, devices, online) {
  const fleet = devices > 0 ? `\n  Fleet    ${fleetText(devices, online, join(dir, 'fleet.log'))}` : '';
  console.log(`
Cloud Connector is up after ${Math.round(performance.now() / 1000)} s.
  Console  ${api}/   open it in a browser
  API      ${api}
  Docs     ${api}/docs
  Broker   ${mqttUrl}
  Logs     ${dir}/*.log${fleet}

Try it:
  ${tryIt({ api, mqttUrl, devices, env: process.env }).join('\n  ')}

Ctrl-C stops it; the data stays in ${dir}.`);
}

function onUnready(/** @type {NotReadyError} */ error) {
  if (stopping) return;
  console.error(`${textOf(error)}\nIt tries again for a minute.`);
}

/** @template {import('./stack.mjs').Part} T @param {T} part @returns {T} */
function watched(part) {
  void part.ended.then((how) => onEnd(part, how));
  return part;
}

function onEnd(/** @type {import('./stack.mjs').Part} */ part, /** @type {number | string} */ how) {
  if (stopping) return;
  console.error(`\n${part.name} ended (${how}); stopping the rest. See ${part.log}`);
  void stop(1);
}

/** Stops the apps first, then their servers. */
async function stop(/** @type {number} */ code) {
  if (stopping) return;
  stopping = true;
  if (running.size > 0) console.log('\nStopping …');
  await stopAll();
  if (code === 0) console.log('Stopped.');
  process.exit(code);
}
