/**
 * `npm run test:brokers`: builds what it takes, and runs the product on each broker that can run here. `BROKERS=mochi,hivemq`
 * selects some, `BROKER_RETAINED=2000` makes it shorter. A broker whose language is missing is not run, and that is no failure.
 */
import { SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms, run } from '../../scripts/setup.mjs';
import { BROKERS } from './brokers.mjs';

const all = Object.keys(BROKERS);
const wanted = process.env.BROKERS?.split(',') ?? all;
try {
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new SetupError(`BROKERS names ${unknown.join()}; there are ${all.join()}`);
  ensurePackages('all');
  ensurePrograms(SERVERS);
  ensureBuild();
  const runnable = Object.entries(BROKERS).flatMap(([name, { prepare }]) => {
    if (!wanted.includes(name)) return [];
    const missing = prepare();
    if (missing !== undefined) console.log(`${name} not run: ${missing}`);
    return missing === undefined ? [name] : [];
  });
  if (runnable.length > 0) {
    const env = { ...process.env, BROKERS: runnable.join() };
    run('npx', ['jest', '--selectProjects', 'brokers', '--runInBand'], env);
  }
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}
