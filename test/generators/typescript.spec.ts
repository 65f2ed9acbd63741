/** The document generates a client in TypeScript that compiles and works. `npm run test:generators` does so in other languages. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stopAll } from '../../scripts/stack.mjs';
import { checkDriver } from './check.mjs';
import { startSystem } from './system.mjs';
import { prepareTypeScript } from './typescript.mjs';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-generators-'));

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

it('lists, sends, waits and follows events', async () => {
  const driver = prepareTypeScript(join(dir, 'typescript'));
  const system = await startSystem(dir);
  try {
    await checkDriver(driver, system);
  } finally {
    await system.stop();
  }
});
