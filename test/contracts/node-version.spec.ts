/** An older Node is told so in one line, by whatever is started; the range is that of `engines`. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeVersionError as inApps } from '../../libs/platform/src/node-version.js';
import { nodeVersionError as inClient } from '../../libs/client/src/cli/node-version.js';
import { nodeVersionError as inScripts } from '../../scripts/node-version.mjs';

const ROOT = join(__dirname, '../..');
const enginesOf = (path: string): unknown =>
  (JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as { engines: unknown }).engines;

it.each([
  ['20.18.3', false],
  ['20.19.0', true],
  ['21.7.0', false],
  ['22.11.0', false],
  ['22.12.0', true],
  ['23.0.0', true],
  ['24.21.0', true],
  ['18.20.8', false],
])('apps, client and scripts agree whether they run on Node %s: %s', (version, fits) => {
  for (const trouble of [inApps, inClient, inScripts]) {
    if (fits) expect(trouble(version)).toBeUndefined();
    else expect(trouble(version)).toMatch(new RegExp(`^Node ${version} cannot run this`));
  }
});

it('the engines of both packages name the same versions', () => {
  for (const path of ['package.json', 'libs/client/package.json']) {
    expect(enginesOf(path)).toEqual({ node: '^20.19.0 || >=22.12.0' });
  }
});

it('the code is compiled with the types of the oldest Node that it runs on', () => {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'test/package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  expect(devDependencies['@types/node']).toMatch(/^20\./);
});

it.each(['start', 'test', 'demo', 'key', 'cli'])(
  'scripts/%s.mjs refuses an older Node in one line and does nothing',
  (script) => {
    const older = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.18.3" } })';
    const args = ['--import', `data:text/javascript,${older}`, join(ROOT, 'scripts', `${script}.mjs`)];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^Node 20\.18\.3 cannot run this.*\n$/);
  },
);

it('apps check the version of Node before they import anything else', () => {
  const importsOf = (path: string): string[] =>
    Array.from(readFileSync(join(ROOT, path), 'utf8').matchAll(/^import .* from '(.*)';$/gm), ([, name = '']) => name);
  for (const app of ['api-gateway', 'status-ingester', 'dispatcher']) {
    expect(importsOf(`apps/${app}/src/main.ts`)).toEqual(['@app/platform/check-node']);
  }
  expect(importsOf('libs/platform/src/check-node.ts')).toEqual(['node:fs', './node-version.js']);
  expect(importsOf('libs/platform/src/node-version.ts')).toEqual([]);
});
