/**
 * `npm run test:python`: a device that is written with another library, paho in Python, answers calls. It needs Python with
 * paho-mqtt (Debian: python3-paho-mqtt); without them it is not run, and that is no failure.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms } from '../../scripts/setup.mjs';
import { startStack, stopAll, waitUntil } from '../../scripts/stack.mjs';

const ID = 'python-1';

const python = ['python3', '/usr/bin/python3'].find(
  (program) => spawnSync(program, ['-c', 'import paho.mqtt.client']).status === 0,
);
let code = 0;
if (python === undefined) console.log('not run: no Python with paho-mqtt');
else {
  try {
    ensurePackages('run');
    ensurePrograms(SERVERS);
    ensureBuild();
    await check(python);
    console.log('A device in Python has answered a call, and refused one that it cannot do.');
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    code = 1;
  }
  await stopAll();
}
process.exit(code);

/** @param {string} python */
async function check(python) {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-python-'));
  const { gateway, mosquitto } = await startStack({ dir });
  const env = { ...process.env, CLIENT_ID: ID, MQTT_URL: mosquitto.url, STATE_DIR: dir };
  const device = spawn(python, [join(ROOT, 'examples/device-python/device.py')], { stdio: 'inherit', env });
  process.once('exit', () => device.kill());
  try {
    await waitUntil(
      async () => {
        const response = await fetch(`${gateway.url}/v1/connections/${ID}`);
        if (!response.ok) throw new Error(`the connection is ${response.status}`);
      },
      { what: 'the handshake of the device' },
    );
    const pong = await call(gateway.url, { directive: 'demo:ping', payload: { job: 7 } });
    expect(pong.status === 'answered' && pong.answer?.payload?.pong?.job === 7, pong);
    const failed = await call(gateway.url, { directive: 'demo:dance' });
    expect(failed.status === 'failed' && failed.status_history.at(-1).details.includes('demo:dance'), failed);
  } finally {
    device.kill();
    await stopAll();
    rmSync(dir, { recursive: true });
  }
}

/** @param {string} api @param {unknown} message @returns {Promise<any>} */
async function call(api, message) {
  const response = await fetch(`${api}/v1/connections/${ID}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=10' },
    body: JSON.stringify(message),
  });
  return response.json();
}

/** @param {boolean} holds @param {unknown} message */
function expect(holds, message) {
  if (!holds) throw new Error(`the call ended otherwise: ${JSON.stringify(message)}`);
}
