/** The Lua files of all libraries, assembled as the apps do it. */
import { transformFileSync } from '@swc/core';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT } from './setup.mjs';

// Uses the loader of the apps. It is imported as TypeScript, since there may be no build yet.
const { code } = transformFileSync(join(ROOT, 'libs/platform/src/lua-commands.ts'), {
  jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
  module: { type: 'es6' },
});
/** @type {typeof import('../libs/platform/src/lua-commands.js')} */
const loader = await import(`data:text/javascript,${encodeURIComponent(code)}`);

/** A command with its includes; a file that cannot be read ends the process. */
export function readLua(/** @type {string} */ path) {
  try {
    return loader.readLua(path);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

/** Paths of the commands, or of the includes, of all libraries. */
export function luaFiles(/** @type {'commands' | 'commands/includes'} */ folder) {
  return readdirSync(join(ROOT, 'libs'))
    .map((library) => join(ROOT, 'libs', library, 'src', folder))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).map((name) => join(path, name)))
    .filter((path) => path.endsWith('.lua'))
    .sort();
}

/** The path from the root of the repository, for messages. */
export function shown(/** @type {string} */ path) {
  return relative(ROOT, path);
}
