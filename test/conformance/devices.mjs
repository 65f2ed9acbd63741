/**
 * `npm run test:devices`: the example devices whose languages or packages Debian lacks, against the rules of the protocol and the real
 * service. What cannot be built here is not run, and that is no failure.
 */
import { PROGRAMS, SetupError, ensureBuild, ensurePackages, ensurePrograms, run } from '../../scripts/setup.mjs';
import { EXAMPLES } from './examples.mjs';

const SPECS = ['examples', 'service', 'stopping', 'without-subscribers'];

try {
  ensurePackages('all');
  ensurePrograms(PROGRAMS);
  ensureBuild();
  const runnable = Object.entries(EXAMPLES).flatMap(([name, { ofDebian, prepare }]) => {
    if (ofDebian) return [];
    const missing = prepare();
    if (missing !== undefined) console.log(`the device in ${name} not run: ${missing}`);
    return missing === undefined ? [name] : [];
  });
  if (runnable.length > 0) {
    const env = { ...process.env, DEVICES: runnable.join() };
    run('npx', ['jest', '--selectProjects', 'conformance', '--runInBand', '--', ...SPECS], env);
  }
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}
