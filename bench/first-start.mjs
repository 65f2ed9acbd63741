/**
 * How long the first `npm start` takes: each revision is cloned into an empty folder and started with an empty cache of npm, in
 * turns: `node bench/first-start.mjs --turns 3 main my-branch`. It needs redis-server and mosquitto, and the registry.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../scripts/setup.mjs';

/** What is printed when a part begins. The build ends when the system is up, so it contains the start of the servers. */
const PARTS = { packages: /^Installing .*packages/m, build: /^Building/m, up: /^Cloud Connector is up/m };

const { values, positionals } = parseArgs({
  options: { turns: { type: 'string', default: '3' } },
  allowPositionals: true,
});
for (let turn = 1; turn <= Number(values.turns); turn++) {
  for (const revision of positionals) await firstStart(revision, turn);
}

async function firstStart(/** @type {string} */ revision, /** @type {number} */ turn) {
  const folder = mkdtempSync(join(tmpdir(), 'cloud-connector-first-start-'));
  const tree = join(folder, 'tree');
  try {
    git('clone', '--quiet', '--shared', '--no-checkout', ROOT, tree);
    git('-C', tree, 'checkout', '--quiet', '--detach', git('rev-parse', revision));
    console.log(`${turn} ${revision}: ${await timesOf(tree, join(folder, 'cache'))}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @returns {Promise<string>} the seconds of each part */
async function timesOf(/** @type {string} */ tree, /** @type {string} */ cache) {
  const began = performance.now();
  const child = spawn(process.execPath, ['scripts/start.mjs'], {
    cwd: tree,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, npm_config_cache: cache },
  });
  /** @type {Record<string, number>} */
  const at = {};
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      printed += text;
      for (const [part, begins] of Object.entries(PARTS)) {
        if (begins.test(printed)) at[part] ??= performance.now() - began;
      }
      if (at.up !== undefined) child.kill('SIGTERM');
    });
  }
  const [status] = await once(child, 'close');
  if (status !== 0 || at.up === undefined) throw new Error(`it did not start:\n${printed}`);
  const { packages = NaN, build = NaN, up = NaN } = at;
  const seconds = (/** @type {number} */ ms) => (ms / 1000).toFixed(1);
  return `packages ${seconds(build - packages)} s, build and start ${seconds(up - build)} s, together ${seconds(up)} s`;
}

/** @returns {string} what git printed */
function git(/** @type {string[]} */ ...args) {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}
