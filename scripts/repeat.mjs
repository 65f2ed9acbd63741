/**
 * `npm run test:repeat -- outbound 20`: runs a suite 20 times, each time with a new seed; prints the seeds and the results,
 * and ends with 1 if a run failed.
 */
import { randomInt } from 'node:crypto';
import { SERVERS, ensureBuild, ensurePackages, ensurePrograms, run } from './setup.mjs';

const SUITES = ['cluster', 'cluster:ring', 'outbound', 'chaos', 'events'];

const [suite = '', often = '20'] = process.argv.slice(2);
const times = Number(often);
if (!SUITES.includes(suite) || !Number.isInteger(times) || times < 1) {
  console.error(`Usage: npm run test:repeat -- <${SUITES.join('|')}> <times, 1 or more>`);
  process.exit(2);
}
ensurePackages('all');
ensurePrograms(SERVERS);
ensureBuild();
/** @type {string[]} */
const results = [];
for (let i = 0; i < times; i++) {
  const seed = `${randomInt(2 ** 31)}`;
  try {
    run('npm', ['run', '--silent', `test:${suite}`], { ...process.env, TEST_SEED: seed });
    results.push(`${seed} passed`);
  } catch {
    results.push(`${seed} FAILED`);
    process.exitCode = 1;
  }
}
console.log(`\nSeeds and results:\n${results.join('\n')}`);
