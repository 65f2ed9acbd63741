/**
 * `npm run test:repeat -- outbound 20`: runs a suite 20 times, each time with a new seed; prints the seeds and the results,
 * and ends with 1 if a run failed. `contrary` is the agreement suite, run so often with each behaviour of the contrary broker,
 * or with the behaviours that are named behind the number.
 */
import { randomInt } from 'node:crypto';
import { BEHAVIOURS } from './contrary-behaviours.mjs';
import { SERVERS, ensureBuild, ensurePackages, ensurePrograms, run } from './setup.mjs';

const SUITES = ['cluster', 'cluster:ring', 'outbound', 'chaos', 'events', 'sweeps', 'contrary'];

/** @type {Record<string, { specs: string }>} */
const known = BEHAVIOURS;
const [suite = '', often = '20', ...named] = process.argv.slice(2);
const times = Number(often);
const stranger = named.find((name) => suite !== 'contrary' || !(name in known));
if (!SUITES.includes(suite) || !Number.isInteger(times) || times < 1 || stranger !== undefined) {
  console.error(`Usage: npm run test:repeat -- <${SUITES.join('|')}> <times, 1 or more>`);
  console.error(`After "contrary" and the times, names of behaviours may follow: ${Object.keys(known).join(', ')}`);
  process.exit(2);
}
ensurePackages('all');
ensurePrograms(SERVERS);
ensureBuild();
const behaviours = named.length > 0 ? named : Object.keys(known);
const runs = suite === 'contrary' ? behaviours : [''];
/** @type {string[]} */
const results = [];
for (const behaviour of runs) {
  for (let i = 0; i < times; i++) {
    const seed = `${randomInt(2 ** 31)}`;
    const specs = known[behaviour]?.specs;
    const only = specs ? ['--', specs] : [];
    const name = [behaviour, seed].filter(Boolean).join(' ');
    try {
      run('npm', ['run', '--silent', `test:${suite}`, ...only], {
        ...process.env,
        TEST_SEED: seed,
        CONTRARY: behaviour,
      });
      results.push(`${name} passed`);
    } catch {
      results.push(`${name} FAILED`);
      process.exitCode = 1;
    }
  }
}
console.log(`\nSeeds and results:\n${results.join('\n')}`);
