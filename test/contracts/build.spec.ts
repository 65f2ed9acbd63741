/** `scripts/build.mjs` builds every app and library, and with the options that the type check has. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  mkdirSync,
  cpSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** A tree with one library, whose build goes to its own `dist`. */
let tree: string;

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'cloud-connector-build-'));
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  for (const file of ['package.json', 'tsconfig.json', 'scripts/build.mjs']) cpSync(join(ROOT, file), join(tree, file));
  write('nest-cli.json', JSON.stringify({ projects: { a: { sourceRoot: 'libs/a/src' } } }));
});

afterEach(() => {
  rmSync(tree, { recursive: true });
});

function write(path: string, text: string): void {
  mkdirSync(join(tree, path, '..'), { recursive: true });
  writeFileSync(join(tree, path), text);
}

function build(...targets: string[]): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(process.execPath, ['scripts/build.mjs', ...targets], { cwd: tree, encoding: 'utf8' });
}

it('nest-cli.json names every app and library that runs; Vite builds the console, and the client is a target of its own', () => {
  const { projects } = JSON.parse(read('nest-cli.json')) as { projects: Record<string, { sourceRoot: string }> };
  const folders = ['apps', 'libs'].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((one) => `${folder}/${one}`),
  );
  const own = folders.filter((folder) => !['apps/console', 'libs/client'].includes(folder));
  expect(
    Object.values(projects)
      .map(({ sourceRoot }) => sourceRoot)
      .sort(),
  ).toEqual(own.map((folder) => `${folder}/src`).sort());
});

it('the options of SWC are those of tsconfig.json', () => {
  const { compilerOptions } = JSON.parse(read('tsconfig.json')) as { compilerOptions: object };
  expect(compilerOptions).toMatchObject({
    target: 'es2023',
    module: 'nodenext',
    isolatedModules: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    sourceMap: true,
  });
  expect(read('scripts/build.mjs')).toContain("target: 'es2023'");
});

it('compiles TypeScript with the names of libraries, copies Lua, and leaves specs out', () => {
  write('libs/a/src/a.ts', "import { b } from '@app/protocol';\nexport const a: number = b;\n");
  write('libs/a/src/a.spec.ts', '');
  write('libs/a/src/commands/c.lua', 'return 1');
  write('libs/protocol/src/index.ts', 'export const b = 1;\n');
  expect(build('apps')).toMatchObject({ status: 0, stderr: '' });
  const built = readdirSync(join(tree, 'dist/libs/a/src'), { recursive: true, encoding: 'utf8' });
  expect(built.sort()).toEqual(['a.js', 'a.js.map', 'commands', 'commands/c.lua']);
  const code = readFileSync(join(tree, 'dist/libs/a/src/a.js'), 'utf8');
  expect(code).toContain('from "../../protocol/src/index.js"');
  expect(code).toMatch(/\n\/\/# sourceMappingURL=a\.js\.map\n$/);
  const map = JSON.parse(readFileSync(join(tree, 'dist/libs/a/src/a.js.map'), 'utf8')) as { sources: string[] };
  expect(map.sources).toEqual(['../../../../libs/a/src/a.ts']);
});

it('fails if a file cannot be read as TypeScript, and says which', () => {
  write('libs/a/src/a.ts', 'export const a = ;');
  const { status, stderr } = build('apps');
  expect(status).toBe(1);
  expect(stderr).toContain('libs/a/src/a.ts');
});

it('fails if there is no such target', () => {
  expect(build('app')).toMatchObject({ status: 1, stderr: expect.stringContaining('apps, client, console') as string });
});

it('notes that all was built, once it was', () => {
  write('libs/a/src/index.ts', '');
  write('libs/client/src/index.ts', '');
  write(
    'apps/console/vite.config.ts',
    `export default { root: 'apps/console', build: { outDir: '../../dist/console' } };`,
  );
  write('apps/console/index.html', '<p>The console</p>');
  const isNoted = (): boolean => existsSync(join(tree, 'dist/.built'));
  expect([build('apps', 'client').status, isNoted()]).toEqual([0, false]);
  write('libs/a/src/wrong.ts', 'export const =');
  expect([build('apps', 'client', 'console').status, isNoted()]).toEqual([1, false]);
  rmSync(join(tree, 'libs/a/src/wrong.ts'));
  expect([build('apps', 'client', 'console').status, isNoted()]).toEqual([0, true]);
});
