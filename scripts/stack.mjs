/**
 * Starts and stops the parts of a private system on loopback: Redis, Mosquitto, the apps. `npm start`, the demo, the tests
 * and the benchmarks use it. It stops only processes that it started, by their process ids.
 */
import { spawn } from 'node:child_process';
import { fstatSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, isListenerOfAnother } from './listeners.mjs';
import { ROOT, findProgram } from './setup.mjs';

export const HOST = '127.0.0.1';

/** Below the ports for outgoing connections, so that no connection takes a port before its server listens there. */
const PORTS = { from: 12_000, to: 32_000 };
const RESERVED = join(tmpdir(), `cloud-connector-ports-${process.getuid?.() ?? 'user'}`);

/** Chooses a port that nobody listens on, and reserves it while this process lives. */
export async function freePort() {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from));
    if (reserve(port) && (await isPortFree(port))) return port;
  }
}

/**
 * Reserves a port among all processes that use this file. It stays reserved while its server restarts.
 * @returns whether nobody had reserved it
 */
function reserve(/** @type {number} */ port) {
  const file = join(RESERVED, `${port}`);
  mkdirSync(RESERVED, { recursive: true });
  try {
    writeFileSync(file, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  if (!isAlive(holderOf(file))) rmSync(file, { force: true });
  return false;
}

/** @returns the process id in the file; 0, which counts as alive, if the file is still empty or has just been removed */
function holderOf(/** @type {string} */ file) {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}

function isAlive(/** @type {number} */ pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** @returns {Promise<boolean>} */
export function isPortFree(/** @type {number} */ port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

/**
 * Calls `check` until it no longer rejects, and resolves with its result. Gives up after a minute, or `timeoutMs`.
 * @template T
 * @param {() => T | Promise<T>} check
 * @returns {Promise<T>}
 */
export async function waitUntil(check, { what = 'the condition', timeoutMs = 60_000, everyMs = 25 } = {}) {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > end) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`gave up after ${timeoutMs} ms waiting for: ${what} (${why})`, { cause: error });
      }
    }
    await sleep(everyMs);
  }
}

/** A process ended before it was ready. `reason`: what an app has logged as the cause, in a line of the level fatal. */
export class EndedEarlyError extends Error {
  constructor(/** @type {Part} */ part, /** @type {number | string} */ how) {
    super(`${part.name} ended (${how}) before it was ready; see ${part.log}`);
    this.part = part.name;
    this.log = part.log;
    this.reason = fatalLine(part);
  }
}

/** An app was not ready in time. `reason`: what its readiness says. */
export class NotReadyError extends Error {
  constructor(/** @type {Part} */ part, /** @type {string} */ reason) {
    super(`${part.name} was not ready in time: ${reason}; see ${part.log}`);
    this.part = part.name;
    this.log = part.log;
    this.reason = reason;
  }
}

/** @returns what is down and why, from the body of `/health/ready`. An app that stops answers with a text as the error. */
function reasonIn(/** @type {string} */ body) {
  /** @type {{ error?: string | Record<string, { message?: string }> }} */
  const { error = {} } = JSON.parse(body);
  if (typeof error === 'string') return error;
  return Object.entries(error)
    .map(([name, { message }]) => `${name}: ${message}`)
    .join('; ');
}

/** @returns the message of the last fatal line that an app has logged since it was launched */
function fatalLine(/** @type {Part} */ { log, logFrom }) {
  const lines = readFileSync(log).subarray(logFrom).toString().split('\n');
  const last = lines.findLast((line) => line.includes('"level":"fatal"'));
  /** @type {{ message?: string, err?: { message?: string } }} */
  const { message, err } = last === undefined ? {} : JSON.parse(last);
  return err?.message ?? message;
}

/** A process that `launch` started. */
export class Part {
  /**
   * @param {string} name
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} log path of what it prints
   * @param {number} logFrom size of the file before it printed anything
   */
  constructor(name, child, log, logFrom) {
    this.name = name;
    this.child = child;
    this.log = log;
    this.logFrom = logFrom;
    /** @type {Promise<number | string>} exit code or signal */
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 0));
      child.once('error', (error) => resolve(error.message));
    });
  }

  get pid() {
    return this.child.pid;
  }

  get running() {
    return this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined;
  }

  /** Sends SIGTERM, and SIGKILL after `graceMs`. @returns its exit code or signal */
  async stop(graceMs = 12_000) {
    if (this.running) this.child.kill('SIGTERM');
    const killLater = setTimeout(() => this.child.kill('SIGKILL'), graceMs);
    const how = await this.ended;
    clearTimeout(killLater);
    return how;
  }

  /** Sends SIGKILL. @returns its exit code or signal */
  async kill() {
    if (this.running) this.child.kill('SIGKILL');
    return this.ended;
  }

  /** Waits until `check` no longer rejects; rejects at once if the process ends. @param {() => Promise<unknown>} check */
  async until(check, timeoutMs = 60_000) {
    let hasEnded = false;
    const ended = this.ended.then((how) => {
      hasEnded = true;
      throw new EndedEarlyError(this, how);
    });
    ended.catch(() => undefined);
    // Without this the polling would go on until its timeout, and keep this process alive.
    const checkUnlessEnded = () => (hasEnded ? undefined : check());
    const what = `${this.name} ready (see ${this.log})`;
    await Promise.race([waitUntil(checkUnlessEnded, { what, timeoutMs }), ended]);
    return this;
  }

  /** As `until`, for a check of what answers on a port: another process may have taken it first. @param {number} port @param {() => Promise<unknown>} check */
  answers(port, check) {
    return this.until(async () => {
      await check();
      if (isListenerOfAnother(port, this.pid ?? 0)) throw new Error(`another process has taken port ${port}`);
    });
  }
}

/** @type {Set<Part>} all launched processes that have not ended, ready or not */
export const running = new Set();

/** Stops all launched processes: the fleet, then the apps, then their servers. */
export async function stopAll() {
  const parts = [...running];
  const servers = parts.filter(({ name }) => /^(redis|sentinel|mosquitto|mochi|hivemq)/.test(name));
  const fleet = parts.filter(({ name }) => name === 'fleet');
  const apps = parts.filter((part) => !servers.includes(part) && !fleet.includes(part));
  for (const group of [fleet, apps, servers]) await Promise.all(group.map((part) => part.stop()));
}

/**
 * @param {string} name
 * @param {string} program
 * @param {string[]} args
 * @param {{ dir: string, env?: Record<string, string | undefined> }} options `dir`: where its log is written
 */
export function launch(name, program, args, { dir, env = {} }) {
  mkdirSync(dir, { recursive: true });
  const log = join(dir, `${name}.log`);
  const out = openSync(log, 'a');
  const logFrom = fstatSync(out).size;
  // A process group of its own: Ctrl-C signals only us, and we stop the parts in their order.
  const child = spawn(program, args, {
    cwd: ROOT,
    stdio: ['ignore', out, out],
    detached: true,
    env: { ...process.env, ...env },
  });
  const part = new Part(name, child, log, logFrom);
  running.add(part);
  void part.ended.then(() => running.delete(part));
  return part;
}

/**
 * @param {{ dir: string, port?: number, persist?: boolean, args?: string[], name?: string }} options
 */
export async function startRedis({ dir, port, persist = false, args = [], name = 'redis' }) {
  const at = port ?? (await freePort());
  mkdirSync(join(dir, name), { recursive: true });
  const part = launch(
    name,
    findProgram('redis-server') ?? 'redis-server',
    [
      ...['--port', `${at}`, '--bind', HOST, '--dir', join(dir, name), '--save', ''],
      ...['--appendonly', persist ? 'yes' : 'no', '--maxmemory-policy', 'noeviction', '--daemonize', 'no'],
      ...args,
    ],
    { dir },
  );
  await part.answers(at, () => ping(at, 'PING\r\n', '+PONG'));
  return Object.assign(part, { port: at, url: `redis://${HOST}:${at}` });
}

/** For `config` of `startMosquitto`: published messages survive a kill. Slow with thousands of retained messages. */
export const SAVED_AT_EACH_CHANGE = ['autosave_on_changes true', 'autosave_interval 1'];

/**
 * @param {{ dir: string, port?: number, persist?: boolean, config?: string[] }} options
 */
export async function startMosquitto({ dir, port, persist = false, config = [] }) {
  const at = port ?? (await freePort());
  const home = join(dir, 'mosquitto');
  mkdirSync(home, { recursive: true });
  const lines = [
    `listener ${at} ${HOST}`,
    'allow_anonymous true',
    'set_tcp_nodelay true',
    // A lane may lag behind a burst: Mosquitto must drop nothing, and may have many publishes in flight.
    'max_queued_messages 0',
    'max_inflight_messages 1000',
    ...(persist ? ['persistence true', `persistence_location ${home}/`, 'autosave_interval 60'] : []),
    // Started as root, Mosquitto would become another user, who must not write here.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    ...config,
  ];
  const file = join(home, 'mosquitto.conf');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const part = launch('mosquitto', findProgram('mosquitto') ?? 'mosquitto', ['-c', file], { dir });
  await part.answers(at, () => ping(at));
  return Object.assign(part, { port: at, url: `mqtt://${HOST}:${at}` });
}

/** @typedef {'api-gateway' | 'status-ingester' | 'dispatcher'} AppName */

/** From the first answer that an app is not ready until `onUnready` is called, and until it is called with another reason. */
const UNREADY_MS = 5000;

/**
 * How the image of an app starts Node, so that the same is measured and tested as is shipped.
 * @param {AppName} app @returns {{ flags: string[], env: Record<string, string> }}
 */
export function startOf(app) {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const command = new RegExp(`^CMD (\\["node".*"dist/apps/${app}/src/main.js"\\])$`, 'm').exec(dockerfile)?.[1];
  const arenas = /^ENV MALLOC_ARENA_MAX=(\d+)$/m.exec(dockerfile)?.[1];
  if (command === undefined || arenas === undefined)
    throw new Error(`the Dockerfile does not say how ${app} is started`);
  return { flags: JSON.parse(command).slice(1, -1), env: { MALLOC_ARENA_MAX: arenas } };
}

/**
 * Starts an app and waits until it is ready. If it says for some seconds that it is not, `onUnready` is called with the
 * reason, and later with other ones.
 * @param {AppName} app
 * @param {{
 *   dir: string, port?: number, env: Record<string, string>, name?: string, sourceMaps?: boolean,
 *   onUnready?: (error: NotReadyError) => void,
 * }} options `sourceMaps`: whether stacks name lines of TypeScript; that takes 3 MiB, and images do not
 * @throws EndedEarlyError, NotReadyError
 */
export async function startApp(app, { dir, port, env, name = app, sourceMaps = true, onUnready }) {
  const at = port ?? (await freePort());
  const image = startOf(app);
  const flags = sourceMaps ? ['--enable-source-maps', ...image.flags] : image.flags;
  const part = launch(name, process.execPath, [...flags, join(ROOT, `dist/apps/${app}/src/main.js`)], {
    dir,
    env: { NODE_ENV: process.env.NODE_ENV ?? 'development', ...image.env, ...env, PORT: `${at}`, HOST },
  });
  const url = `http://${HOST}:${at}`;
  /** @type {NotReadyError | undefined} */
  let unready;
  let reported = '';
  /** When `onUnready` may be called. */
  let from = Infinity;
  try {
    await part.answers(at, async () => {
      const response = await fetch(`${url}/health/ready`);
      if (response.ok) return;
      const reason = reasonIn(await response.text());
      unready = new NotReadyError(part, reason);
      const now = performance.now();
      from = Math.min(from, now + UNREADY_MS);
      if (now >= from && reason !== reported) {
        reported = reason;
        from = now + UNREADY_MS;
        onUnready?.(unready);
      }
      throw unready;
    });
  } catch (error) {
    throw error instanceof EndedEarlyError ? error : (unready ?? error);
  }
  return Object.assign(part, { port: at, url });
}

/**
 * Starts a whole private system: Redis, Mosquitto and one of each app.
 * @param {{ dir: string, env?: Record<string, string>, persist?: boolean, broker?: string[], sourceMaps?: boolean }} options
 */
export async function startStack({ dir, env = {}, persist = false, broker = [], sourceMaps = true }) {
  const [redis, mosquitto] = await Promise.all([
    startRedis({ dir, persist }),
    startMosquitto({ dir, persist, config: broker }),
  ]);
  const urls = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url, ...env };
  const [gateway, ingester, dispatcher] = await Promise.all([
    startApp('api-gateway', { dir, env: urls, sourceMaps }),
    startApp('status-ingester', { dir, env: urls, sourceMaps }),
    startApp('dispatcher', { dir, env: urls, sourceMaps }),
  ]);
  return {
    redis,
    mosquitto,
    gateway,
    ingester,
    dispatcher,
    /** Stops the apps, then their servers. */
    async stop() {
      await Promise.all([gateway.stop(), ingester.stop(), dispatcher.stop()]);
      await Promise.all([redis.stop(), mosquitto.stop()]);
    },
  };
}

/**
 * Starts a simulated fleet in a process of its own.
 * @param {{ dir: string, count: number, mqttUrl: string }} options
 */
export function startFleet({ dir, count, mqttUrl }) {
  return launch('fleet', process.execPath, [join(ROOT, 'scripts/fleet.mjs'), `${count}`, mqttUrl], { dir });
}

/** Connects; with a request, it also expects a reply that begins with `reply`. @returns {Promise<void>} */
export function ping(/** @type {number} */ port, request = '', reply = '') {
  return new Promise((resolve, reject) => {
    const socket = connect(port, HOST, () => {
      if (request === '') finish();
      else socket.write(request);
    });
    socket.setTimeout(1000, () => finish(new Error('no reply within a second')));
    socket.on('error', finish);
    socket.on('data', (data) => finish(data.toString().startsWith(reply) ? undefined : new Error(data.toString())));
    function finish(/** @type {Error | undefined} */ error = undefined) {
      socket.destroy();
      if (error) reject(error);
      else resolve();
    }
  });
}
