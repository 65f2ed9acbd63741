/** A private system with two devices, and with credentials, as the generated clients find it. */
import { equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Device, demoWork } from '../../examples/device/device.mjs';
import { ROOT } from '../../scripts/setup.mjs';
import { startStack, waitUntil } from '../../scripts/stack.mjs';

export const HOST = 'generated-host';
const PROXY = 'generated-proxy';
export const CLIENTS = [HOST, PROXY];
const SCOPES = 'connections:read,messages:read,messages:write,events:read';

/** @param {string} dir */
export async function startSystem(dir) {
  const keys = join(dir, 'keys.json');
  const token = createKey(keys);
  // Each change is an event of its own.
  const stack = await startStack({ dir, env: { API_KEYS_FILE: keys, EVENT_SETTLE: '0s' } });
  const url = stack.mosquitto.url;
  const devices = CLIENTS.map((id) => new Device({ id, url, proxy: id === PROXY, onMessage: demoWork }));
  const stop = async () => {
    await Promise.all(devices.map((device) => device.stop()));
    await stack.stop();
  };
  const headers = { authorization: `Bearer ${token}` };
  const online = async (/** @type {string} */ id) => {
    const { status } = await fetch(`${stack.gateway.url}/v1/connections/${id}`, { headers });
    equal(status, 200);
  };
  try {
    for (const id of CLIENTS) await waitUntil(() => online(id), { what: `the handshake of ${id}` });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url: stack.gateway.url, token, stop };
}

/** @param {string} file @returns {string} the key */
function createKey(file) {
  const program = join(ROOT, 'dist/apps/api-gateway/src/key.js');
  const args = [program, 'create', '--id', 'generated', '--scopes', SCOPES, '--file', file];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`no key was created: ${stderr}`);
  return stdout.trim();
}
