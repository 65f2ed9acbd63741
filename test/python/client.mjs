/** Checks clients/python: its types, its style, its tests, and those against a whole system. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { PYTHON_CLIENT } from '../../scripts/python.mjs';

/** @typedef {{ gateway: string, deviceId: string }} System the address of a gateway, and the id of an `examples/device` */

/** @param {string} python @param {System} system @throws if a check fails */
export function checkPythonClient(python, { gateway, deviceId }) {
  const env = { ...process.env, CLOUD_CONNECTOR_URL: gateway, DEVICE_ID: deviceId, PYTHONDONTWRITEBYTECODE: '1' };
  for (const [tool = '', ...args] of [
    ['ruff', 'check', '--quiet'],
    ['ruff', 'format', '--check', '--quiet'],
    ['mypy'],
    ['pytest'],
  ]) {
    const command = [tool, ...args].join(' ');
    console.log(`clients/python: ${command}`);
    const { status } = spawnSync(python, ['-m', tool, ...args], { cwd: PYTHON_CLIENT, stdio: 'inherit', env });
    if (status !== 0) throw new Error(`${command} failed in ${join('clients', 'python')}`);
  }
}
