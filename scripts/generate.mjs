/**
 * `npm run generate`: writes what is generated from the code: docs/openapi.json, the types and methods of the clients, and
 * docs/configuration.md. The client in Python needs Python: without it, it stays as it is, and `npm run test:python` fails where there is one.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatePythonClient } from './python.mjs';
import { ROOT, SetupError, ensurePackages, run } from './setup.mjs';

try {
  ensurePackages('all');
  // Builds the apps only: the client may not compile before its types are generated.
  run('npm', ['run', '--silent', 'build:apps']);
  const { OPENAPI, documentOf, textOf } = await import('./openapi.mjs');
  const { SCHEMAS, TYPES, schemasOf, typesOf } = await import('./client-types.mjs');
  const { OPERATIONS, operationsOf } = await import('./client-operations.mjs');
  const { CONFIGURATION, configurationPage } = await import('./configuration-page.mjs');
  const built = (/** @type {string} */ path) => import(join(ROOT, 'dist', path));

  const { CONTROLLERS } = await built('apps/api-gateway/src/gateway.module.js');
  const { buildOpenApi } = await built('apps/api-gateway/src/openapi.js');
  const document = await documentOf({ CONTROLLERS, buildOpenApi });
  writeFileSync(OPENAPI, textOf(document));
  writeFileSync(TYPES, typesOf(document));
  writeFileSync(SCHEMAS, schemasOf(document));
  writeFileSync(OPERATIONS, operationsOf(document));

  const failure = generatePythonClient();
  if (failure !== undefined) console.error(`not generated: clients/python: ${failure}`);

  const { describeSettings } = await built('libs/platform/src/index.js');
  const { gatewaySettings } = await built('apps/api-gateway/src/gateway.settings.js');
  const { ingesterSettings } = await built('apps/status-ingester/src/ingester.settings.js');
  const { dispatcherSettings } = await built('apps/dispatcher/src/dispatcher.settings.js');
  const page = configurationPage({
    'api-gateway': describeSettings(gatewaySettings.shape),
    'status-ingester': describeSettings(ingesterSettings.shape),
    dispatcher: describeSettings(dispatcherSettings.shape),
  });
  writeFileSync(CONFIGURATION, page);
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}
