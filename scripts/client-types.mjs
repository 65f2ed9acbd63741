/** Generates the types of `libs/client` from the OpenAPI document. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

export const TYPES = join(ROOT, 'libs/client/src/generated/types.gen.ts');

/** Names the schemas among them, for the package: the other types are those of whole operations. */
export const SCHEMAS = join(ROOT, 'libs/client/src/generated/schemas.gen.ts');

/** @param {object} document OpenAPI @returns {string} the exports as TypeScript */
export function schemasOf(document) {
  const { components } = /** @type {{ components: { schemas: Record<string, object> } }} */ (document);
  const names = Object.keys(components.schemas).sort();
  return [
    '// Written by `npm run generate` from the OpenAPI document: do not edit.',
    `export type {\n${names.map((name) => `  ${name},\n`).join('')}} from './types.gen.js';`,
    '',
  ].join('\n');
}

/** @param {object} document OpenAPI @returns {string} the types as TypeScript */
export function typesOf(document) {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-types-'));
  try {
    const input = join(dir, 'openapi.json');
    writeFileSync(input, JSON.stringify(document));
    const generator = join(ROOT, 'node_modules/@hey-api/openapi-ts/bin/run.js');
    const args = [generator, '--input', input, '--output', join(dir, 'types'), '--plugins', '@hey-api/typescript'];
    const { status, stderr } = spawnSync(process.execPath, [...args, '--silent'], { cwd: dir, encoding: 'utf8' });
    if (status !== 0) throw new Error(`the types could not be generated: ${stderr}`);
    return readFileSync(join(dir, 'types/types.gen.ts'), 'utf8');
  } finally {
    rmSync(dir, { recursive: true });
  }
}
