/**
 * The ports of `npm start`: the one that a variable sets; without it the default, or the next free port after it.
 * Another process may take a chosen port before its server listens there: then the server starts on another one.
 */
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

  /** @param {Record<string, string | undefined>} env @param {(line: string) => void} log */
  constructor(env, log) {
    this.env = env;
    this.log = log;
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
    for (let attempt = 1; ; attempt++) {
      const port = await this.#choose(variable, byDefault);
      try {
        return await start(port);
      } catch (error) {
        const isLost = error instanceof EndedEarlyError && !(await isPortFree(port));
        if (!isLost || attempt === ATTEMPTS) throw error;
        this.log(`Another process took port ${port} first.`);
      }
    }
  }

  async #choose(/** @type {string} */ variable, /** @type {number} */ byDefault) {
    for (let port = byDefault; port < byDefault + CANDIDATES; port++) {
      if (this.#refused.has(port)) continue;
      this.#refused.add(port);
      if (!(await isPortFree(port))) continue;
      if (port !== byDefault) this.log(`Port ${byDefault} is taken, using ${port} (${variable} sets another).`);
      return port;
    }
    throw new SetupError(`No free port from ${byDefault} on; set ${variable}.`);
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
