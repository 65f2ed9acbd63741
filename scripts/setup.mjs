/** What a bare clone lacks: npm packages, the build, and the servers to run against. Node's own modules only. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeTrouble } from './node-version.mjs';

// Whatever is started imports this file first: nothing else has been done yet.
const trouble = nodeTrouble();
if (trouble !== undefined) {
  console.error(trouble);
  process.exit(1);
}

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Programs that Debian's packages of these names bring. */
const PACKAGES = {
  'redis-server': 'redis-server',
  mosquitto: 'mosquitto',
  kubectl: 'kubernetes-client',
  openssl: 'openssl',
};

/** A message for the person at the terminal; needs no stack. */
export class SetupError extends Error {}

/** Runs a command with its output on the terminal. @throws SetupError */
export function run(/** @type {string} */ command, /** @type {string[]} */ args, env = process.env) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], env });
  if (error || status !== 0) throw new SetupError(`"${[command, ...args].join(' ')}" failed`);
}

/** Finds a program as the shell would; Debian keeps servers in sbin, which is not on every PATH. */
export function findProgram(/** @type {string} */ name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Installs npm packages where the lock is newer than what is installed. */
export function ensurePackages() {
  const installed = join(ROOT, 'node_modules', '.installed');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs) return;
  console.log('Installing npm packages …');
  // Not `npm ci`: it refuses a lock without the optional packages of other platforms.
  run('npm', ['install', '--no-audit', '--no-fund', '--include=dev', '--ignore-scripts', '--loglevel=error']);
  writeFileSync(installed, '');
}

/** Installs the programs that are missing, where apt can. @throws SetupError that says what to install. */
export function ensurePrograms(/** @type {(keyof typeof PACKAGES)[]} */ names) {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map((name) => PACKAGES[name]);
  const root = process.getuid?.() === 0;
  if (!root || findProgram('apt-get') === undefined) {
    throw new SetupError(
      `Missing: ${missing.join(', ')}. Install ${packages.join(' and ')} ` +
        `(Debian, Ubuntu: sudo apt-get install ${packages.join(' ')}), ` +
        'or point REDIS_URL and MQTT_URL to servers of your own, or use "docker compose up".',
    );
  }
  console.log(`Installing ${packages.join(', ')} …`);
  // Run level 1 keeps Debian from starting system services beside ours.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  run('apt-get', ['update', '-qq'], env);
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env);
}

/** Builds the apps where a source is newer than the last build. */
export function ensureBuild() {
  const stamp = join(ROOT, 'dist', '.built');
  const sources = ['apps', 'libs', 'package-lock.json', 'tsconfig.json', 'nest-cli.json'];
  const newest = Math.max(...sources.map((path) => newestChange(join(ROOT, path))));
  if (existsSync(stamp) && statSync(stamp).mtimeMs > newest) return;
  console.log('Building …');
  run('npm', ['run', '--silent', 'build']);
  writeFileSync(stamp, '');
}

/** @returns {number} time of the newest change below a path */
function newestChange(/** @type {string} */ path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((entry) => newestChange(join(path, entry))));
}
