/** Adds what a bare clone lacks: npm packages, the build, and the servers. It imports Node's own modules only. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeVersionError } from './node-version.mjs';

// Every script imports this file first: on a Node that is too old it must end before anything else fails.
const trouble = nodeVersionError();
if (trouble !== undefined) {
  console.error(trouble);
  process.exit(1);
}

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** All programs and files that a script needs, with the Debian package of each. `npm start` needs `SERVERS` only. */
const DEBIAN_PACKAGES = {
  'redis-server': 'redis-server',
  mosquitto: 'mosquitto',
  kubectl: 'kubernetes-client',
  openssl: 'openssl',
  luacheck: 'lua-check',
  chromium: 'chromium',
  '/usr/bin/python3': 'python3',
  '/usr/lib/python3/dist-packages/paho/mqtt': 'python3-paho-mqtt',
  cc: 'gcc',
  make: 'make',
  '/usr/include/stdio.h': 'libc6-dev',
  '/usr/include/mosquitto.h': 'libmosquitto-dev',
  '/usr/include/cjson/cJSON.h': 'libcjson-dev',
};

/** @typedef {keyof typeof DEBIAN_PACKAGES} Program */

export const PROGRAMS = /** @type {Program[]} */ (Object.keys(DEBIAN_PACKAGES));
/** @type {Program[]} */
export const SERVERS = ['redis-server', 'mosquitto'];

/** The packages that the apps, the console and the client run on and are built with: every workspace but the tests'. */
const RUN_ONLY = ['--include-workspace-root', '--workspace', 'libs/client', '--workspace', 'apps/console'];

/** An error whose message is all that the person at the terminal needs; it is printed without its stack. */
export class SetupError extends Error {}

/**
 * Runs a command with its output on the terminal; with `quiet`, only what it writes to stderr.
 * @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} env
 * @throws SetupError
 */
export function run(command, args, env = process.env, { quiet = false } = {}) {
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = ['ignore', quiet ? 'ignore' : 'inherit', 'inherit'];
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio, env });
  if (error || status !== 0) throw new SetupError(`"${[command, ...args].join(' ')}" failed`);
}

/** Does one thing that takes seconds, and says so in one line. It goes to stderr: scripts read the output of some commands. */
function step(/** @type {string} */ what, /** @type {() => void} */ act) {
  const began = performance.now();
  process.stderr.write(`${what} … `);
  try {
    act();
  } catch (error) {
    process.stderr.write('failed\n');
    throw error;
  }
  process.stderr.write(`${Math.max(1, Math.round((performance.now() - began) / 1000))} s\n`);
}

/** Finds a program as the shell would; Debian keeps servers in sbin, which is not on every PATH. A path is looked for as it is. */
export function findProgram(/** @type {string} */ name) {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined;
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/**
 * Installs the npm packages of the lock, unless they are installed already: those to run and build with (`run`), or
 * those of the tests too (`all`). A later `run` takes no test package away.
 */
export function ensurePackages(/** @type {'run' | 'all'} */ scope) {
  const marker = join(ROOT, 'node_modules', '.installed');
  const installed = join(ROOT, 'node_modules', '.package-lock.json');
  const lockText = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  const lock = createHash('sha256').update(lockText).digest('hex');
  // An empty marker is one of release 0.1.0 and fits no lock.
  const [scopeThen, lockThen] = existsSync(marker) ? readFileSync(marker, 'utf8').split(' ') : [];
  if (lockThen === lock && (scopeThen === 'all' || scopeThen === scope)) return;
  if (existsSync(installed) && holdsAllPackages(lockText, readFileSync(installed, 'utf8'))) {
    writeFileSync(marker, `all ${lock}`);
    return;
  }
  // `npm ci` would refuse a lock without the optional packages of other platforms, and would start from nothing.
  // Without --no-save, an older npm would write the lock in its own way.
  const options = ['--no-save', '--no-audit', '--no-fund', '--include=dev', '--ignore-scripts', '--loglevel=error'];
  step(scope === 'all' ? 'Installing all packages' : 'Installing packages', () =>
    run('npm', ['install', ...options, ...(scope === 'run' ? RUN_ONLY : [])], process.env, { quiet: true }),
  );
  writeFileSync(marker, `${scope} ${lock}`);
}

/**
 * Whether everything is installed, as by `npm ci`: npm lists what it has installed in a lock of its own.
 * @param {string} lock text of `package-lock.json` @param {string} installed text of `node_modules/.package-lock.json`
 */
export function holdsAllPackages(lock, installed) {
  /** @typedef {{ packages: Record<string, { version?: string, optional?: boolean }> }} Lock */
  /** @type {Lock} */
  const { packages } = JSON.parse(lock);
  /** @type {Lock} */
  const { packages: present } = JSON.parse(installed);
  return Object.entries(packages).every(([path, { version, optional }]) => {
    // The root and the workspaces are no packages; optional ones may be those of another platform.
    if (!path.startsWith('node_modules/') || optional === true) return true;
    return path in present && present[path]?.version === version;
  });
}

/**
 * Installs all missing programs in one call of apt, if there is an apt and we are root.
 * @throws SetupError that says what to install
 */
export function ensurePrograms(/** @type {Program[]} */ names) {
  const missing = names.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map((name) => DEBIAN_PACKAGES[name]);
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || findProgram('apt-get') === undefined) {
    throw new SetupError(
      `Missing: ${missing.join(', ')}. Install ${packages.join(' and ')} ` +
        `(Debian, Ubuntu: sudo apt-get install ${packages.join(' ')}), ` +
        'or, to run without servers here, point REDIS_URL and MQTT_URL to servers of your own, or use "docker compose up".',
    );
  }
  // Run level 1 keeps Debian from starting the servers as system services.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  step(`Installing ${packages.join(', ')}`, () => {
    run('apt-get', ['update', '-qq'], env, { quiet: true });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env, { quiet: true });
  });
}

/** Builds what runs, the apps, the client without its types, and the console, if a source is newer than the last build. */
export function ensureBuild() {
  const marker = join(ROOT, 'dist', '.built');
  const sources = ['apps', 'libs', 'package-lock.json', 'tsconfig.json', 'nest-cli.json', 'scripts/build.mjs'];
  const newest = Math.max(...sources.map((path) => newestChange(join(ROOT, path))));
  if (existsSync(marker) && statSync(marker).mtimeMs > newest) return;
  step('Building', () => run(process.execPath, ['scripts/build.mjs', 'apps', 'client', 'console']));
}

/** @returns {number} the time of the newest change below a path */
function newestChange(/** @type {string} */ path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((entry) => newestChange(join(path, entry))));
}
