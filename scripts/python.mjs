/** Python with the packages of a list: an environment of its own, cached by what is installed in it. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { ROOT } from './setup.mjs';

export const PYTHON_CLIENT = join(ROOT, 'clients/python');
const REQUIREMENTS = join(PYTHON_CLIENT, 'requirements.txt');
const CACHE = join(ROOT, 'node_modules/.cache/python');
const CANDIDATES = ['python3', '/usr/bin/python3'];
/** The oldest Python that clients/python supports. */
const OLDEST = '3.10';
/** A registry that does not answer must not hold up the other checks. */
const INSTALL_MS = 300_000;

/**
 * Installs what is missing. Programs of the packages run as modules: they do not know the folder in which they are.
 * @param {{ requirements?: string, oldest?: string }} [options] by default, those of clients/python
 * @returns {{ python: string } | { missing: string }} the program, or why there is none: "no Python", for example
 */
export function ensurePython({ requirements = REQUIREMENTS, oldest = OLDEST } = {}) {
  const supported = `import sys, venv; sys.exit(sys.version_info < (${oldest.replace('.', ',')}))`;
  const base = CANDIDATES.find((program) => succeeds(program, ['-c', supported]));
  if (base === undefined) return { missing: `no Python of ${oldest} or newer` };
  if (!succeeds(base, ['-m', 'pip', '--version'])) return { missing: 'no pip for Python' };
  const version = spawnSync(base, ['-c', 'import sys; print(sys.version, sys.prefix)'], { encoding: 'utf8' }).stdout;
  const key = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 16);
  const folder = join(CACHE, key);
  const python = join(folder, 'bin/python');
  if (existsSync(python)) return { python };
  process.stderr.write(`Installing the Python packages of ${relative(ROOT, dirname(requirements))} …\n`);
  // Finished under another name first: a run that was interrupted leaves nothing that looks complete.
  const unfinished = `${folder}.${process.pid}`;
  mkdirSync(CACHE, { recursive: true });
  rmSync(unfinished, { recursive: true, force: true });
  const failure =
    failureOf(base, ['-m', 'venv', '--without-pip', unfinished]) ??
    failureOf(base, ['-m', 'pip', '--python', join(unfinished, 'bin/python'), ...INSTALL, '-r', requirements]);
  if (failure === undefined) renameSync(unfinished, folder);
  else rmSync(unfinished, { recursive: true, force: true });
  return failure === undefined ? { python } : { missing: `the packages cannot be installed: ${failure}` };
}

const INSTALL = ['install', '--quiet', '--no-compile', '--disable-pip-version-check', '--retries', '1'];

/** Writes what is generated of clients/python. @returns {string | undefined} why not */
export function generatePythonClient() {
  const found = ensurePython();
  if ('missing' in found) return found.missing;
  return failureOf(found.python, [join(PYTHON_CLIENT, 'generate.py')]);
}

/** @param {string} program @param {string[]} args */
function succeeds(program, args) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

/** @param {string} program @param {string[]} args @returns {string | undefined} the last line of the error */
function failureOf(program, args) {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', timeout: INSTALL_MS });
  if (status === 0) return undefined;
  return error?.message ?? (stderr.trim().split('\n').at(-1) || `${program} failed`);
}
