/**
 * `npm run test:cluster:repeat -- 20 [ring]`: the scenarios of `test/cluster` so many times, each time with a new seed,
 * on one Redis or on a Redis Cluster; prints the seeds and what came of them, and ends with 1 where a run failed.
 */
import { randomInt } from 'node:crypto';
import { ensureBuild, ensurePackages, ensurePrograms, run } from './setup.mjs';

const [, , often = '20', where] = process.argv;
const times = Number(often);
if (!Number.isInteger(times) || times < 1 || ![undefined, 'ring'].includes(where)) {
  console.error('Say how often, as a whole number from 1, and where: npm run test:cluster:repeat -- 20 ring');
  process.exit(2);
}
ensurePackages();
ensurePrograms(['redis-server', 'mosquitto']);
ensureBuild();
/** @type {string[]} */
const results = [];
for (let i = 0; i < times; i++) {
  const seed = `${randomInt(2 ** 31)}`;
  try {
    run('npm', ['run', '--silent', where === 'ring' ? 'test:cluster:ring' : 'test:cluster'], {
      ...process.env,
      CLUSTER_SEED: seed,
    });
    results.push(`${seed} passed`);
  } catch {
    results.push(`${seed} FAILED`);
    process.exitCode = 1;
  }
}
console.log(`\nSeeds and results:\n${results.join('\n')}`);
