/**
 * Makes the OpenAPI document that the gateway serves, from its controllers, without a connection or a server. As a program
 * it prints the document of the tree that contains it, which must be built. It imports no other script, so that
 * `compare-api.mjs` can copy it into the tree of an older revision.
 */
import 'reflect-metadata';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CONTROLLER_WATERMARK } from '@nestjs/common/constants.js';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

/** The document in the repository. */
export const OPENAPI = fileURLToPath(new URL('../docs/openapi.json', import.meta.url));

/** The text of the document in the repository. */
export function textOf(/** @type {object} */ document) {
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/**
 * @param {{ CONTROLLERS: import('@nestjs/common').Type[],
 *   buildOpenApi: (app: import('@nestjs/platform-fastify').NestFastifyApplication) => object }} gateway its modules
 */
export async function documentOf({ CONTROLLERS, buildOpenApi }) {
  // The dependencies of the controllers are never called.
  const testing = await Test.createTestingModule({ controllers: CONTROLLERS })
    .useMocker(() => ({}))
    .compile({ preview: true });
  return buildOpenApi(testing.createNestApplication(new FastifyAdapter()));
}

async function print() {
  const gateway = fileURLToPath(new URL('../dist/apps/api-gateway/src', import.meta.url));
  const { buildOpenApi } = await load(join(gateway, 'openapi.js'));
  const files = readdirSync(gateway, { recursive: true, encoding: 'utf8' });
  // The controllers are found by their files, because another revision may list them in another way.
  const modules = files.filter((file) => file.endsWith('.controller.js')).map((file) => load(join(gateway, file)));
  const exported = (await Promise.all(modules)).flatMap((module) => Object.values(module));
  const isController = (/** @type {unknown} */ one) =>
    typeof one === 'function' && Reflect.hasMetadata(CONTROLLER_WATERMARK, one);
  process.stdout.write(JSON.stringify(await documentOf({ CONTROLLERS: exported.filter(isController), buildOpenApi })));
}

function load(/** @type {string} */ file) {
  return import(pathToFileURL(file).href);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void print();
