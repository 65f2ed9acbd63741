/**
 * The ports of `npm start`: the one that a variable sets; without it that of the last start, the default, or the next free port after it.
 * Another process may take a chosen port before its server listens there: then the server starts on another one.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { SetupError } from './setup.mjs';
import { EndedEarlyError, isPortFree } from './stack.mjs';

/** How many ports after the default are looked at. */
const CANDIDATES = 100;
/** How many ports a server may lose to other processes until its start fails. */
const ATTEMPTS = 5;
const VARIABLES = ['GATEWAY_PORT', 'INGESTER_PORT', 'DISPATCHER_PORT', 'MQTT_PORT', 'REDIS_PORT'];

export class Ports {
  /** Ports that no other server may get: they are set by variables, or have been looked at. @type {Set<number>} */
  #refused = new Set();
  /** By their variables: those of the last start, then of this one. @type {Record<string, number>} */
  #known;

  /** @param {Record<string, string | undefined>} env @param {(line: string) => void} log @param {string} file keeps them for the next start */
  constructor(env, log, file) {
    this.env = env;
    this.log = log;
    this.file = file;
    this.#known = readPorts(file, log);
    for (const variable of VARIABLES) if (env[variable]) this.#refused.add(Number(env[variable]));
  }

  /**
   * @template T
   * @param {string} variable
   * @param {number} byDefault
   * @param {(port: number) => Promise<T>} start starts the server
   */
  async start(variable, byDefault, start) {
    const text = this.env[variable];
    if (text) return start(await portOf(variable, text));
    const wanted = this.#known[variable] ?? byDefault;
    for (let attempt = 1; ; attempt++) {
      const port = await this.#choose(variable, byDefault);
      try {
        const started = await start(port);
        if (port !== wanted) this.log(`Port ${wanted} is taken, using ${port} (${variable} sets another).`);
        this.#keep(variable, port);
        return started;
      } catch (error) {
        const isLost = error instanceof EndedEarlyError && !(await isPortFree(port));
        if (!isLost || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async #choose(/** @type {string} */ variable, /** @type {number} */ byDefault) {
    const last = this.#known[variable];
    const others = Array.from({ length: CANDIDATES }, (_, index) => byDefault + index);
    for (const port of last === undefined ? others : [last, ...others]) {
      if (this.#refused.has(port)) continue;
      this.#refused.add(port);
      if (await isPortFree(port)) return port;
    }
    throw new SetupError(`No free port from ${byDefault} on; set ${variable}.`);
  }

  #keep(/** @type {string} */ variable, /** @type {number} */ port) {
    this.#known[variable] = port;
    writeFileSync(this.file, `${JSON.stringify(this.#known)}\n`);
  }
}

/** @param {string} file @param {(line: string) => void} log @returns {Record<string, number>} */
function readPorts(file, log) {
  if (!existsSync(file)) return {};
  try {
    const read = Object.entries(JSON.parse(readFileSync(file, 'utf8')));
    return Object.fromEntries(read.filter(([, port]) => Number.isInteger(port) && port > 0 && port <= 65_535));
  } catch (error) {
    log(`${file} cannot be read, so the ports are chosen again: ${error}`);
    return {};
  }
}

/** @throws SetupError */
async function portOf(/** @type {string} */ variable, /** @type {string} */ text) {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new SetupError(`${variable} must be a port, 1 to 65535`);
  if (!(await isPortFree(port)))
    throw new SetupError(`${variable}=${port} is taken. Choose another port, or unset it.`);
  return port;
}
