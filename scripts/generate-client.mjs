/** `npm run generate`: writes the client's types and methods again, after a change of the API. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, SetupError, ensurePackages, run } from './setup.mjs';

try {
  ensurePackages('all');
  // The gateway alone: a client that does not fit yet must not be in the way.
  run('npm', ['exec', '--', 'nest', 'build', 'api-gateway']);
  const { documentOf } = await import('./openapi.mjs');
  const { TYPES, typesOf } = await import('./client-types.mjs');
  const { OPERATIONS, operationsOf } = await import('./client-operations.mjs');
  const gateway = join(ROOT, 'dist/apps/api-gateway/src');
  const { CONTROLLERS } = await import(join(gateway, 'gateway.module.js'));
  const { buildOpenApi } = await import(join(gateway, 'openapi.js'));
  const document = await documentOf({ CONTROLLERS, buildOpenApi });
  writeFileSync(TYPES, typesOf(document));
  writeFileSync(OPERATIONS, operationsOf(document));
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}
