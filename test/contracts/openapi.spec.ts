/** The OpenAPI document is one that generators of other people digest, and that its readers understand. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONTROLLERS } from '../../apps/api-gateway/src/gateway.module.js';
import { buildOpenApi } from '../../apps/api-gateway/src/openapi.js';
import { OPENAPI, documentOf, textOf } from '../../scripts/openapi.mjs';
import { faultsOf, type Document } from './openapi-faults.js';

/** Without its questions to the network. */
const QUIET = { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };

let document: Document;

beforeAll(async () => {
  document = (await documentOf({ CONTROLLERS, buildOpenApi })) as Document;
});

test('docs/openapi.json is the document; if not, run `npm run generate`', () => {
  expect(readFileSync(OPENAPI, 'utf8')).toBe(textOf(document));
});

test('redocly finds nothing in it', () => {
  const cli = join(__dirname, '../../node_modules/@redocly/cli/bin/cli.js');
  const args = [cli, 'lint', OPENAPI, '--extends', 'recommended', '--format', 'json'];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, ...QUIET },
    maxBuffer: 2 ** 26,
  });
  expect(stdout === '' ? stderr : JSON.parse(stdout)).toMatchObject({
    totals: { errors: 0, warnings: 0 },
    problems: [],
  });
});

test('everything in the document has a name, a text and an example that fits', () => {
  expect(faultsOf(document)).toEqual([]);
});
