/** `npm test`: everything that must hold, from a bare clone. Arguments go to Jest: `npm test -- libs/protocol`. */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROGRAMS, SetupError, ensureBuild, ensurePackages, ensurePrograms, run } from './setup.mjs';

const results = join(tmpdir(), `cloud-connector-tests-${process.pid}.json`);
/** @type {unknown} */
let failure;
try {
  ensurePackages('all');
  ensurePrograms(PROGRAMS);
  ensureBuild();
  for (const script of ['lint', 'typecheck', 'boundaries']) {
    console.log(`\n${script} …`);
    run('npm', ['run', '--silent', script]);
  }
  const options = [
    ...['--testSequencer', './scripts/slowest-first.mjs', '--reporters', 'default', './scripts/test-times.mjs'],
    ...['--json', '--outputFile', results, '--maxWorkers', '2'],
    ...process.argv.slice(2),
  ];
  // Of the cluster's scenarios on a Redis Cluster only these: all are run by `npm run test:cluster:ring`.
  run('npx', ['jest', ...options], { ...process.env, RING_SPECS: 'ring' });
} catch (error) {
  failure = error;
}
report();

function report() {
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(results, 'utf8'));
    rmSync(results);
    console.log(`\n${numPassedTests} passed, ${numFailedTests} failed`);
  } catch {
    console.log('\nNo test was run.');
    failure ??= new SetupError('Jest left no results');
  }
  if (failure === undefined) return;
  console.error(failure instanceof SetupError ? failure.message : failure);
  process.exit(1);
}
