/**
 * `node scripts/build.mjs apps client console`: builds what it names to `dist`. SWC removes the types of the apps and the
 * client, and checks none; `npm run typecheck` does. The build of the images runs this file too: it imports no other script.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformFile } from '@swc/core';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** @typedef {{ from: string, to: string, sourceMaps: boolean }} Folder */

/**
 * What can be built. The published client has no source maps, because its sources are not published.
 * @type {Record<string, () => Promise<unknown>[]>}
 */
const TARGETS = {
  apps: () => projects().flatMap(({ sourceRoot: from }) => build({ from, to: join('dist', from), sourceMaps: true })),
  client: () => build({ from: 'libs/client/src', to: 'dist/client', sourceMaps: false }),
  console: () => [buildConsole()],
};

/** @type {{ compilerOptions: { paths: Record<string, string[]> } }} */
const { compilerOptions } = read('tsconfig.json');

const names = process.argv.slice(2);
const builds = names.flatMap((name) => {
  const start = TARGETS[name];
  if (start === undefined) throw new Error(`"${name}" is none of ${Object.keys(TARGETS).join(', ')}`);
  return start();
});
for (const result of await Promise.allSettled(builds)) {
  if (result.status === 'fulfilled') continue;
  console.error(result.reason instanceof Error ? result.reason.message : result.reason);
  process.exitCode = 1;
}
// It says when all was built; `npm start` and others build again if a source is newer.
if (process.exitCode === undefined && Object.keys(TARGETS).every((name) => names.includes(name)))
  await writeFile(join(ROOT, 'dist', '.built'), '');

/** @returns {{ sourceRoot: string }[]} the apps and their libraries */
function projects() {
  return Object.values(read('nest-cli.json').projects);
}

async function buildConsole() {
  // The build of the apps alone needs no Vite.
  const { build } = await import('vite');
  return build({ configFile: join(ROOT, 'apps/console/vite.config.ts'), logLevel: 'warn' });
}

/** @returns {Promise<void>[]} one for each file: TypeScript is compiled, Lua and all else is copied */
function build(/** @type {Folder} */ { from, to, sourceMaps }) {
  return filesBelow(from).map(async (path) => {
    const target = join(ROOT, to, relative(from, path));
    await mkdir(dirname(target), { recursive: true });
    if (extname(path) !== '.ts') return copyFile(join(ROOT, path), target);
    return compile(join(ROOT, path), target.replace(/\.ts$/, '.js'), sourceMaps);
  });
}

/** The options say what `tsconfig.json` says, and take the names of the libraries from it. */
async function compile(/** @type {string} */ source, /** @type {string} */ target, /** @type {boolean} */ sourceMaps) {
  const { code, map } = await transformFile(source, {
    swcrc: false,
    sourceMaps,
    sourceFileName: relative(dirname(target), source),
    inlineSourcesContent: false,
    jsc: {
      target: 'es2023',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
      keepClassNames: true,
      preserveAllComments: true,
      baseUrl: ROOT,
      paths: compilerOptions.paths,
    },
    module: { type: 'nodenext', resolveFully: true },
  });
  if (map === undefined) return writeFile(target, code);
  await writeFile(target, `${code}//# sourceMappingURL=${basename(target)}.map\n`);
  await writeFile(`${target}.map`, map);
}

/** @returns the files that are no specs, as paths from the root */
function filesBelow(/** @type {string} */ folder) {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.spec.ts'))
    .map((entry) => join(relative(ROOT, entry.parentPath), entry.name));
}

/** @returns {any} */
function read(/** @type {string} */ path) {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8'));
}
