/**
 * `npm test`: every suite, from a bare clone; then the time of each. It fails if a suite did not run. Arguments go to Jest
 * and select specs: `npm test -- libs/protocol`.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  for (const name of CHECKS) {
    console.log(`\n${name} …`);
    const started = performance.now();
    try {
      run('npm', ['run', '--silent', name]);
    } finally {
      checks.push({ name, seconds: (performance.now() - started) / 1000 });
    }
  }
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
