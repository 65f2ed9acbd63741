/** `npm run bench -- <name> [options]`: runs one benchmark on a private stack on loopback. */
import { stopAll } from '../scripts/stack.mjs';
import { SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms } from '../scripts/setup.mjs';

const BENCHES = [
  'ingest',
  'send',
  'cluster',
  'reconciliation',
  'flood',
  'backoff',
  'retained',
  'idle',
  'memory',
  'topics',
];
const [name = '', ...args] = process.argv.slice(2);
if (!BENCHES.includes(name)) {
  console.error(`Usage: npm run bench -- ${BENCHES.join('|')} [options]`);
  process.exit(1);
}
try {
  ensurePackages('run');
  ensurePrograms(SERVERS);
  ensureBuild();
  const { run } = await import(`./${name}.mjs`);
  await run(args);
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  // Stops whatever ran when the benchmark failed.
  await stopAll();
  process.exit(1);
}
