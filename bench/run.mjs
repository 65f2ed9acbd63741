/** `npm run bench -- <name> [options]`: runs one benchmark on a private stack on loopback. */
import { running, stopAll } from '../scripts/stack.mjs';
import { SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms } from '../scripts/setup.mjs';

const BENCHES = [
  'ingest',
  'send',
  'call',
  'cluster',
  'reconciliation',
  'flood',
  'backoff',
  'kills',
  'retained',
  'idle',
  'memory',
  'topics',
  'console',
];
/** The exit code of a program that a signal has ended. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 };
const [name = '', ...args] = process.argv.slice(2);
if (!BENCHES.includes(name)) {
  console.error(`Usage: npm run bench -- ${BENCHES.join('|')} [options]`);
  process.exit(1);
}
for (const [signal, code] of Object.entries(EXIT_CODES)) {
  process.once(signal, () => void stopAll().finally(() => process.exit(code)));
}
// What has been started since, or does not stop.
process.once('exit', () => running.forEach(({ child }) => child.kill('SIGKILL')));
try {
  ensurePackages('run');
  ensurePrograms(SERVERS);
  ensureBuild();
  const { run } = await import(`./${name}.mjs`);
  await run(args);
} catch (error) {
  console.error(error instanceof SetupError || isOfOptions(error) ? error.message : error);
  // Stops whatever ran when the benchmark failed.
  await stopAll();
  process.exit(1);
}

/** @returns {error is Error} whether an option is unknown or has no value; the head of the benchmark's file says which there are */
function isOfOptions(/** @type {unknown} */ error) {
  return error instanceof TypeError && 'code' in error && `${error.code}`.startsWith('ERR_PARSE_ARGS');
}
