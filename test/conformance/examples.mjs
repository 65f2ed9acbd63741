/** The example devices, each with what it takes to run it. Those in languages that Debian has are part of `npm test`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, findProgram } from '../../scripts/setup.mjs';

const CACHE = join(ROOT, 'node_modules/.cache/devices');
/** A registry that does not answer must not hold up the other devices. */
const BUILD_MS = 300_000;

/**
 * `prepare` builds it, and returns why it cannot run here: "no Go", for example. `command` is a line for the shell.
 * @typedef {{ ofDebian: boolean, prepare: () => string | undefined, command: string }} Example
 */

const PYTHON_DEVICE = join(ROOT, 'examples/device-python/device.py');
const PAHO_2 = join(CACHE, 'paho-2');

/** @type {Readonly<Record<string, Example>>} */
export const EXAMPLES = {
  JavaScript: {
    ofDebian: true,
    prepare: () => undefined,
    command: `exec ${process.execPath} ${join(ROOT, 'examples/device/device.mjs')}`,
  },
  // Debian's Python: another one on the PATH may lack the package.
  Python: { ofDebian: true, prepare: () => undefined, command: `exec /usr/bin/python3 ${PYTHON_DEVICE}` },
  C: {
    ofDebian: true,
    prepare: () => {
      const output = `OUTPUT=${join(CACHE, 'device-c')}`;
      return run('make', ['-s', '-C', join(ROOT, 'examples/device-c'), output, 'CFLAGS=-O2 -Werror'], {
        missing: 'no make',
      });
    },
    command: `exec ${join(CACHE, 'device-c')}`,
  },
  'Python with paho-mqtt 2': {
    ofDebian: false,
    prepare: () => {
      const requirements = join(ROOT, 'test/conformance/paho-2.txt');
      const target = ['--target', PAHO_2, '--upgrade', '--require-hashes', '-r', requirements];
      return run('python3', ['-m', 'pip', 'install', '--quiet', ...target], { missing: 'no Python' });
    },
    command: `PYTHONPATH=${PAHO_2} exec python3 ${PYTHON_DEVICE}`,
  },
  Go: {
    ofDebian: false,
    prepare: () => {
      const options = { missing: 'no Go', cwd: join(ROOT, 'examples/device-go') };
      return run('go', ['vet', '.'], options) ?? run('go', ['build', '-o', join(CACHE, 'device-go'), '.'], options);
    },
    command: `exec ${join(CACHE, 'device-go')}`,
  },
};

/** The devices that a spec runs: those that `DEVICES` names, by default those in languages that Debian has. */
export function selectedExamples() {
  const names = process.env.DEVICES?.split(',');
  return Object.entries(EXAMPLES).filter(([name, { ofDebian }]) => names?.includes(name) ?? ofDebian);
}

/**
 * @param {string} program @param {string[]} args @param {{ missing: string, cwd?: string }} options
 * @returns {string | undefined} why it failed
 */
function run(program, args, { missing, cwd = ROOT }) {
  if (findProgram(program) === undefined) return missing;
  mkdirSync(CACHE, { recursive: true });
  const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: BUILD_MS });
  if (status === 0) return undefined;
  return `"${[program, ...args].join(' ')}" failed: ${error?.message ?? stderr.trim()}`;
}
