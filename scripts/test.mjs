/**
 * `npm test`: every suite, from a bare clone; then the time of each. It fails if a suite did not run. Arguments go to Jest
 * and select specs: `npm test -- libs/protocol`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROGRAMS, ROOT, SetupError, ensureBuild, ensurePackages, ensurePrograms } from './setup.mjs';
import { CHECKS, SEPARATE, WITHOUT_APPS, findSpecs, notRun, timeTable } from './suites.mjs';

const selection = process.argv.slice(2);
/** @type {import('./suites.mjs').CheckRun[]} */
const checks = [];
/** @type {import('./suites.mjs').SpecRun[]} */
let runs = [];
/** @type {string[]} */
let faults = [];
try {
  ensurePackages('all');
  ensurePrograms(PROGRAMS);
  ensureBuild();
  await runChecks();
  await runSpecs();
} catch (error) {
  if (!(error instanceof SetupError)) console.error(error);
  faults = [error instanceof SetupError ? error.message : 'npm test itself failed'];
}
report();

/** Runs all checks at the same time: each uses one core. @throws SetupError that names those that failed */
async function runChecks() {
  console.log(`\n${CHECKS.join(', ')} …`);
  const failed = await Promise.all(
    CHECKS.map(async (name) => {
      const started = performance.now();
      const { code, output } = await outputOf('npm', ['run', '--silent', name]);
      checks.push({ name, seconds: (performance.now() - started) / 1000 });
      process.stderr.write(output);
      return code === 0 ? [] : [name];
    }),
  );
  if (failed.flat().length > 0) throw new SetupError(`${failed.flat().join(', ')}: failed`);
}

/**
 * Two runs of Jest at the same time: two workers for the suites that start whole systems and keep both cores busy, one for
 * the specs that mostly wait. The output of the latter comes at the end. @throws SetupError if one failed
 */
async function runSpecs() {
  const folder = mkdtempSync(join(tmpdir(), 'cloud-connector-tests-'));
  const systems = join(folder, 'systems');
  const waiting = join(folder, 'waiting');
  try {
    const one = ['--maxWorkers', '1', '--selectProjects', ...WITHOUT_APPS];
    const beside = outputOf('npx', jest(one), { TEST_TIMES: waiting });
    const two = ['--maxWorkers', '2', '--ignoreProjects', ...SEPARATE, ...WITHOUT_APPS];
    // Only these scenarios of the cluster run on a Redis Cluster too; `npm run test:cluster:ring` runs all of them.
    const main = spawn('npx', jest(two), {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, RING_SPECS: 'ring', TEST_TIMES: systems },
    });
    const [[code], others] = await Promise.all([once(main, 'close'), beside]);
    process.stderr.write(others.output);
    if (code !== 0 || others.code !== 0) throw new SetupError('Jest failed');
  } finally {
    runs = [systems, waiting].flatMap((file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []));
    rmSync(folder, { recursive: true });
  }
}

/** @param {string[]} options @returns {string[]} the arguments of npx. A selection may leave one of the two runs without specs. */
function jest(options) {
  return [
    ...['jest', '--testSequencer', './scripts/slowest-first.mjs', '--reporters', 'default', './scripts/test-times.mjs'],
    ...[...options, ...(selection.length > 0 ? ['--passWithNoTests', '--', ...selection] : [])],
  ];
}

/** @param {string} command @param {string[]} args @param {Record<string, string>} env @returns what it printed, once it has ended */
async function outputOf(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const [output, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, output: output + errors };
}

function report() {
  if (selection.length > 0) console.log('\nOnly a selection was run: npm test without arguments runs every suite.');
  else faults.push(...notRun({ projects: projects(), specs: findSpecs(ROOT) }, { checks, runs }));
  if (runs.length === 0 && faults.length === 0) faults.push(`no spec matches ${selection.join(' ')}`);
  console.log(`\n${timeTable({ checks, runs })}`);
  console.log(`\n${sumOf('passed')} passed, ${sumOf('failed')} failed`);
  for (const fault of faults) console.error(fault);
  process.exit(faults.length === 0 ? 0 : 1);
}

/** @returns {string[]} the names of the projects that `npm test` runs; none if there are no packages to read them with */
function projects() {
  if (!existsSync(join(ROOT, 'node_modules'))) return [];
  const { projects } = createRequire(import.meta.url)('../jest.config.cjs');
  const names = projects.map((/** @type {{ displayName: string }} */ { displayName }) => displayName);
  return names.filter((/** @type {string} */ name) => !SEPARATE.includes(name));
}

/** @param {'passed' | 'failed'} member */
function sumOf(member) {
  return runs.reduce((sum, run) => sum + run[member], 0);
}
