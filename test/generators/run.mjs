/**
 * `npm run test:generators`: generates clients from docs/openapi.json with the generators of other people, compiles them, and
 * runs them at a private system. `GENERATORS=python,go` selects some. A language that is missing here, or whose packages
 * cannot be fetched, is not run, and that is no failure.
 */
import { join } from 'node:path';
import { runPrivately } from '../../scripts/private-run.mjs';
import { SERVERS, SetupError, ensureBuild, ensurePackages, ensurePrograms } from '../../scripts/setup.mjs';
import { LANGUAGES } from './languages.mjs';

await runPrivately('generators', async (dir) => {
  const all = Object.keys(LANGUAGES);
  const wanted = process.env.GENERATORS?.split(',') ?? all;
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new SetupError(`GENERATORS names ${unknown.join()}; there are ${all.join()}`);
  ensurePackages('all');
  const drivers = prepared(wanted, dir);
  if (drivers.length > 0) {
    ensurePrograms(SERVERS);
    ensureBuild();
    await runAll(drivers, dir);
  }
});

/** @param {string[]} wanted @param {string} dir */
function prepared(wanted, dir) {
  return Object.entries(LANGUAGES).flatMap(([name, prepare]) => {
    if (!wanted.includes(name)) return [];
    const driver = prepare(join(dir, name));
    if (typeof driver !== 'string') return [{ name, driver }];
    console.log(`${name} not run: ${driver}`);
    return [];
  });
}

/** @param {{ name: string, driver: import('./languages.mjs').Driver }[]} drivers @param {string} dir */
async function runAll(drivers, dir) {
  // They start the device, whose package is installed by now.
  const { startSystem } = await import('./system.mjs');
  const { checkDriver } = await import('./check.mjs');
  const system = await startSystem(dir);
  for (const { name, driver } of drivers) {
    try {
      await checkDriver(driver, system);
    } catch (error) {
      throw new Error(`the client in ${name} does not work`, { cause: error });
    }
    console.log(`${name}: the generated client compiles, lists, sends, waits and follows events`);
  }
}
