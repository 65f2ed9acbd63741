/** `npm run audit`: what the lock may hold, and what the registry knows of faults in what runs in production. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFaults } from './lock-faults.mjs';
import { ROOT } from './setup.mjs';

const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(ROOT, name), 'utf8'));

const faults = lockFaults(read('package.json'), read('package-lock.json'));
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'The lock holds what it may.' : `${faults.length} faults of the lock.`);

const { status, stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { cwd: ROOT, encoding: 'utf8' });
const report = parse(stdout);
const known = Object.entries(report?.metadata?.vulnerabilities ?? {}).filter(([kind, n]) => kind !== 'total' && n > 0);
if (report?.metadata === undefined) {
  console.error('The registry could not be asked for known faults; ask from where it can be reached.');
} else {
  for (const { name, severity, range } of Object.values(report.vulnerabilities)) console.error(name, range, severity);
  console.log(known.length === 0 ? 'No known faults.' : known.map(([kind, n]) => `${n} ${kind}`).join(', '));
}
process.exit(faults.length === 0 && status === 0 ? 0 : 1);

/** @returns {any} undefined where it is no JSON */
function parse(/** @type {string} */ text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
