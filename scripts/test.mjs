/**
 * `npm test`: every suite, from a bare clone; then the time of each. It fails if a suite did not run. Arguments go to Jest
 * and select specs: `npm test -- libs/protocol`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROGRAMS, ROOT, SetupError, ensureBuild, ensurePackages, ensurePrograms, run } from './setup.mjs';
import { CHECKS, SEPARATE, findSpecs, notRun, timeTable } from './suites.mjs';

const times = join(tmpdir(), `cloud-connector-tests-${process.pid}.json`);
const selection = process.argv.slice(2);
/** @type {import('./suites.mjs').CheckRun[]} */
const checks = [];
/** @type {string[]} */
let faults = [];
try {
  ensurePackages('all');
  ensurePrograms(PROGRAMS);
  ensureBuild();
  await runChecks();
  const options = [
    ...['--testSequencer', './scripts/slowest-first.mjs', '--reporters', 'default', './scripts/test-times.mjs'],
    ...['--ignoreProjects', ...SEPARATE, '--maxWorkers', '2'],
  ];
  // Only these scenarios of the cluster run on a Redis Cluster too; `npm run test:cluster:ring` runs all of them.
  run('npx', ['jest', ...options, ...selection], { ...process.env, RING_SPECS: 'ring', TEST_TIMES: times });
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
      const child = spawn('npm', ['run', '--silent', name], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
      const [output, errors, [code]] = await Promise.all([
        text(child.stdout),
        text(child.stderr),
        once(child, 'close'),
      ]);
      checks.push({ name, seconds: (performance.now() - started) / 1000 });
      process.stderr.write(output + errors);
      return code === 0 ? [] : [name];
    }),
  );
  if (failed.flat().length > 0) throw new SetupError(`${failed.flat().join(', ')}: failed`);
}

function report() {
  const runs = specRuns();
  if (selection.length > 0) console.log('\nOnly a selection was run: npm test without arguments runs every suite.');
  else faults.push(...notRun({ projects: projects(), specs: findSpecs(ROOT) }, { checks, runs }));
  console.log(`\n${timeTable({ checks, runs })}`);
  console.log(`\n${sumOf(runs, 'passed')} passed, ${sumOf(runs, 'failed')} failed`);
  for (const fault of faults) console.error(fault);
  process.exit(faults.length === 0 ? 0 : 1);
}

/** @returns {import('./suites.mjs').SpecRun[]} nothing if Jest did not finish */
function specRuns() {
  if (!existsSync(times)) return [];
  const runs = JSON.parse(readFileSync(times, 'utf8'));
  rmSync(times);
  return runs;
}

/** @returns {string[]} the names of the projects that `npm test` runs; none if there are no packages to read them with */
function projects() {
  if (!existsSync(join(ROOT, 'node_modules'))) return [];
  const { projects } = createRequire(import.meta.url)('../jest.config.cjs');
  const names = projects.map((/** @type {{ displayName: string }} */ { displayName }) => displayName);
  return names.filter((/** @type {string} */ name) => !SEPARATE.includes(name));
}

/** @param {import('./suites.mjs').SpecRun[]} runs @param {'passed' | 'failed'} member */
function sumOf(runs, member) {
  return runs.reduce((sum, run) => sum + run[member], 0);
}
