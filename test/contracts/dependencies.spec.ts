/** What the manifests and their lock may hold. `npm run audit` asks the registry for known faults. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFaults } from '../../scripts/lock-faults.mjs';

const read = (name: string): unknown => JSON.parse(readFileSync(join(__dirname, '../..', name), 'utf8'));

type Manifest = Parameters<typeof lockFaults>[0][number];
type Lock = Parameters<typeof lockFaults>[1];

const good = { version: '1.0.0', integrity: 'sha512-x', license: 'MIT' };

const root = read('package.json') as Manifest;
const workspaces = root.workspaces ?? [];
const manifests = [root, ...workspaces.map((folder) => read(join(folder, 'package.json')) as Manifest)];

it('the manifests of the root and of each workspace and their lock have no fault', () => {
  expect(workspaces).toEqual(['libs/client', 'apps/console', 'test']);
  expect(lockFaults(manifests, read('package-lock.json') as Lock)).toEqual([]);
});

it('each package has one version for all workspaces, and one manifest asks for it', () => {
  const asked = manifests.flatMap(({ dependencies, devDependencies }) =>
    Object.keys({ ...dependencies, ...devDependencies }),
  );
  expect(asked.filter((name, i) => asked.indexOf(name) !== i)).toEqual([]);
});

it.each([
  ['a range', { dependencies: { a: '^1.0.0' } }, { 'node_modules/a': good }, 'no exact version'],
  ['a repository', { dependencies: { a: 'github:a/a' } }, { 'node_modules/a': good }, 'no exact version'],
  ['another version', { dependencies: { a: '1.0.1' } }, { 'node_modules/a': good }, 'the lock has 1.0.0'],
  ['no digest', {}, { 'node_modules/a': { ...good, integrity: 'sha1-x' } }, 'no digest'],
  [
    'a place that is no registry',
    {},
    { 'node_modules/a': { ...good, resolved: 'git+ssh://a' } },
    'not from a registry',
  ],
  ['a licence that asks for more', {}, { 'node_modules/a': { ...good, license: 'AGPL-3.0' } }, 'licence AGPL-3.0'],
  ['no licence', {}, { 'node_modules/a': { ...good, license: undefined } }, 'licence unknown'],
  ['a script', {}, { 'node_modules/a': { ...good, hasInstallScript: true } }, 'runs a script'],
  ['a second copy in a workspace', { workspaces: ['b'] }, { 'b/node_modules/a': good }, 'installed twice'],
  ['a link out of the repository', {}, { 'node_modules/a': { resolved: '../a', link: true } }, 'not from a registry'],
])('lockFaults() reports %s', (_, manifest: Manifest, packages, fault) => {
  expect(lockFaults([manifest], { packages } as Lock).join()).toContain(fault);
});

it('lockFaults() finds nothing wrong with the link to a workspace', () => {
  const packages = { 'node_modules/a': { resolved: 'b', link: true }, b: {} };
  expect(lockFaults([{ workspaces: ['b'] }], { packages })).toEqual([]);
});

it('lockFaults() accepts a choice of licences if one of them permits the use', () => {
  const packages = { 'node_modules/a': { ...good, license: '(GPL-2.0 OR MIT)' } };
  expect(lockFaults([{}], { packages })).toEqual([]);
});
