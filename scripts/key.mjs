/** `npm run key`: makes, lists and revokes the API keys of a gateway. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, SetupError, ensureBuild, ensurePackages } from './setup.mjs';

try {
  ensurePackages('run');
  ensureBuild();
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}
const program = join(ROOT, 'dist/apps/api-gateway/src/key.js');
process.exit(spawnSync(process.execPath, [program, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1);
