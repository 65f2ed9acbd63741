/** Runs the program of a language at a running system, and compares what it reports with what has happened there. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { CLIENTS, HOST } from './system.mjs';
import { DOCUMENT } from './tools.mjs';

/** A program that waits for an event that does not come. */
const LONGEST_RUN_MS = 60_000;

/**
 * @typedef {object} Report
 * @property {string[]} connections ids of all connections that are online, from pages of one
 * @property {string} problem the kind of what is refused
 * @property {unknown} called payload of the answer to demo:ping
 * @property {{ events: [type: string, value: string | number][], answer: unknown }} followed the events of demo:work with two
 *   steps, and the payload of its answer
 * @property {Record<string, string>} [decoded] the schema that each type of event was decoded to, unless that is done by the
 *   compiler alone
 */

/**
 * @param {import('./languages.mjs').Driver} driver
 * @param {{ url: string, token: string }} system
 */
export async function checkDriver({ command: [program, ...args], cwd }, { url, token }) {
  const env = { ...process.env, CLOUD_CONNECTOR_TOKEN: token };
  const options = { cwd, env, timeout: LONGEST_RUN_MS };
  const { stdout } = await promisify(execFile)(program, [...args, url, HOST, DOCUMENT], options);
  /** @type {Report} */
  const { connections, problem, called, followed, decoded } = JSON.parse(stdout);
  deepEqual(connections, CLIENTS);
  equal(problem, 'urn:cloud-connector:problem:unknown-connection');
  deepEqual(called, { pong: { job: 7 } });
  deepEqual(followed.answer, { steps: 2 });
  deepEqual(followed.events.at(-1), ['message.status', 'answered']);
  ok(
    followed.events.some(([type, value]) => type === 'message.progress' && value === 100),
    `no event has the whole progress: ${stdout}`,
  );
  if (decoded !== undefined) deepEqual(decoded, schemasOfEvents());
}

/** @returns {Record<string, string>} the name of the schema of each type of event */
function schemasOfEvents() {
  /** @type {{ components: { schemas: { Event: { discriminator: { mapping: Record<string, string> } } } } }} */
  const { components } = JSON.parse(readFileSync(DOCUMENT, 'utf8'));
  const mapping = Object.entries(components.schemas.Event.discriminator.mapping);
  return Object.fromEntries(mapping.map(([type, ref]) => [type, ref.slice(ref.lastIndexOf('/') + 1)]));
}
