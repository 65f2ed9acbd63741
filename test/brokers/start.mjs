/**
 * Starts a broker to try something on: `node test/brokers/start.mjs mosquitto|mochi|hivemq [--port N] [--persist]`. It prints
 * the URL, and stops at Ctrl-C, at SIGTERM, or if its standard input is a pipe that ends.
 */
import { fstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BROKERS } from './brokers.mjs';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { port: { type: 'string' }, persist: { type: 'boolean', default: false } },
});
const kind = Object.entries(BROKERS).find(([name]) => name === positionals[0])?.[1];
if (kind === undefined) exitWith(`Which broker? One of ${Object.keys(BROKERS).join(', ')}`, 2);
const missing = kind.prepare();
if (missing !== undefined) exitWith(`not run: ${missing}`, 1);

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-broker-'));
const { port, persist } = values;
const broker = await kind.start({ dir, persist, ...(port !== undefined && { port: Number(port) }) });
console.log(broker.url);

const asked = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve);
  const input = fstatSync(0);
  if (input.isFIFO() || input.isSocket()) process.stdin.once('end', resolve).resume();
});
await Promise.race([asked, broker.ended]);
await broker.stop();
rmSync(dir, { recursive: true, force: true });
process.exit();

/** @returns {never} */
function exitWith(/** @type {string} */ message, /** @type {number} */ code) {
  console.error(message);
  process.exit(code);
}
