/** The published client says what the OpenAPI document says, and its package holds what it must. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudConnector } from '@app/client';
import { CONTROLLERS } from '../../apps/api-gateway/src/gateway.module.js';
import { buildOpenApi } from '../../apps/api-gateway/src/openapi.js';
import { OPERATIONS, operationsOf } from '../../scripts/client-operations.mjs';
import { SCHEMAS, TYPES, schemasOf, typesOf } from '../../scripts/client-types.mjs';
import { documentOf } from '../../scripts/openapi.mjs';

interface Manifest {
  version: string;
  workspaces?: string[];
}

const manifest = (path: string): Manifest =>
  JSON.parse(readFileSync(join(__dirname, '../..', path), 'utf8')) as Manifest;

/** Operations that the client has under another name. */
const RENAMED: Readonly<Record<string, string>> = { streamEvents: 'events' };

let document: object;

beforeAll(async () => {
  document = await documentOf({ CONTROLLERS, buildOpenApi });
});

test('the types of the client are those of the OpenAPI document; if not, run `npm run generate`', () => {
  expect(readFileSync(TYPES, 'utf8')).toBe(typesOf(document));
});

test('the client exports each schema of the OpenAPI document; if not, run `npm run generate`', () => {
  expect(readFileSync(SCHEMAS, 'utf8')).toBe(schemasOf(document));
  expect(schemasOf(document)).toContain('  ConnectionOnlineEvent,\n');
  expect(readFileSync(join(__dirname, '../../libs/client/src/index.ts'), 'utf8')).toContain(
    "export type * from './generated/schemas.gen.js';",
  );
});

test('the methods of the client are those of the OpenAPI document; if not, run `npm run generate`', () => {
  expect(readFileSync(OPERATIONS, 'utf8')).toBe(operationsOf(document));
});

test('the client has a method for each operation', () => {
  const { paths } = document as { paths: Record<string, Record<string, { operationId: string }>> };
  const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  const classes = [CloudConnector, Object.getPrototypeOf(CloudConnector)] as (typeof CloudConnector)[];
  const methods = classes.flatMap(({ prototype }) => Object.getOwnPropertyNames(prototype));
  expect(ids.length).toBeGreaterThan(10);
  expect(ids.map((id) => RENAMED[id] ?? id).filter((name) => !methods.includes(name))).toEqual([]);
});

test('its package has the version of the whole, and is a workspace: it is tested with the dependencies it asks for', () => {
  const [whole, client] = [manifest('package.json'), manifest('libs/client/package.json')];
  expect(client.version).toBe(whole.version);
  expect(whole.workspaces).toContain('libs/client');
});
