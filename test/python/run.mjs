/**
 * `npm run test:python`: a device that is written with another library, paho in Python, answers calls (it needs Python with
 * paho-mqtt, Debian: python3-paho-mqtt), and the client in clients/python is checked (it needs Python 3.10 with pip, and a package
 * index). What is missing is not run, and that is no failure.
 */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runPrivately } from '../../scripts/private-run.mjs';
import { ensurePython } from '../../scripts/python.mjs';
import { ROOT, SERVERS, ensureBuild, ensurePackages, ensurePrograms } from '../../scripts/setup.mjs';
import { startStack, waitUntil } from '../../scripts/stack.mjs';
import { checkPythonClient } from './client.mjs';

const PYTHON_DEVICE = 'python-1';
const NODE_DEVICE = 'my-host';

const withPaho = ['python3', '/usr/bin/python3'].find(
  (program) => spawnSync(program, ['-c', 'import paho.mqtt.client']).status === 0,
);
if (withPaho === undefined) console.log('not run: a device in Python, no Python with paho-mqtt');
const forClient = ensurePython();
if ('missing' in forClient) console.log(`not run: the client in Python, ${forClient.missing}`);
if (withPaho !== undefined || 'python' in forClient) await runPrivately('python', check);

/** @param {string} dir */
async function check(dir) {
  ensurePackages('run');
  ensurePrograms(SERVERS);
  ensureBuild();
  const { gateway, mosquitto } = await startStack({ dir });
  const system = { api: gateway.url, mqtt: mosquitto.url, dir };
  if (withPaho !== undefined) {
    const command = [withPaho, join(ROOT, 'examples/device-python/device.py')];
    await withDevice({ ...system, id: PYTHON_DEVICE }, command, () => checkDevice(gateway.url));
    console.log('A device in Python has answered a call, and refused one that it cannot do.');
  }
  if ('python' in forClient) {
    const command = [process.execPath, join(ROOT, 'examples/device/device.mjs')];
    await withDevice({ ...system, id: NODE_DEVICE }, command, () =>
      checkPythonClient(forClient.python, { gateway: gateway.url, deviceId: NODE_DEVICE }),
    );
    console.log('The client in Python has passed its checks.');
  }
}

/**
 * Runs a device while `act` runs.
 * @param {{ api: string, mqtt: string, dir: string, id: string }} system `dir`: where the device keeps its answers
 * @param {string[]} command @param {() => unknown} act
 */
async function withDevice({ api, mqtt, dir, id }, [program = '', ...args], act) {
  const env = { ...process.env, CLIENT_ID: id, MQTT_URL: mqtt, STATE_DIR: dir };
  const device = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], env });
  const stop = () => device.kill();
  process.once('exit', stop);
  try {
    await waitUntil(
      async () => {
        const response = await fetch(`${api}/v1/connections/${id}`);
        if (!response.ok) throw new Error(`the connection is ${response.status}`);
      },
      { what: `the handshake of ${id}` },
    );
    await act();
  } finally {
    stop();
    process.off('exit', stop);
  }
}

/** @param {string} api */
async function checkDevice(api) {
  const pong = await call(api, { directive: 'demo:ping', payload: { job: 7 } });
  expect(pong.status === 'answered' && pong.answer?.payload?.pong?.job === 7, pong);
  const failed = await call(api, { directive: 'demo:dance' });
  expect(failed.status === 'failed' && failed.status_history.at(-1).details.includes('demo:dance'), failed);
}

/** @param {string} api @param {unknown} message @returns {Promise<any>} */
async function call(api, message) {
  const response = await fetch(`${api}/v1/connections/${PYTHON_DEVICE}/messages`, {
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
