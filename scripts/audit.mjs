/** `npm run audit`: checks the lock, and asks the registry for known faults of the production packages. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFaults } from './lock-faults.mjs';
import { ROOT } from './setup.mjs';

const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(ROOT, name), 'utf8'));

const root = read('package.json');
const workspaces = root.workspaces.map((/** @type {string} */ folder) => read(join(folder, 'package.json')));
const faults = lockFaults([root, ...workspaces], read('package-lock.json'));
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'The lock has no faults.' : `${faults.length} faults of the lock.`);

const { status, stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { cwd: ROOT, encoding: 'utf8' });
const report = parse(stdout);
const known = Object.entries(report?.metadata?.vulnerabilities ?? {}).filter(([kind, n]) => kind !== 'total' && n > 0);
if (report?.metadata === undefined) {
  console.error(
    'The registry did not answer, so its known faults are not checked; run this on a network that reaches it.',
  );
} else {
  for (const { name, severity, range } of Object.values(report.vulnerabilities)) console.error(name, range, severity);
  console.log(known.length === 0 ? 'No known faults.' : known.map(([kind, n]) => `${n} ${kind}`).join(', '));
}
process.exit(faults.length === 0 && status === 0 ? 0 : 1);

/** @returns {any} undefined if it is not JSON */
function parse(/** @type {string} */ text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
