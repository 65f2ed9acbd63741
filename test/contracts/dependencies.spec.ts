/** What the lock may hold. Known faults are the business of `npm run audit`, which asks the registry. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockFaults } from '../../scripts/lock-faults.mjs';

const read = (name: string): unknown => JSON.parse(readFileSync(join(__dirname, '../..', name), 'utf8'));

type Manifest = Parameters<typeof lockFaults>[0];
type Lock = Parameters<typeof lockFaults>[1];

const good = { version: '1.0.0', integrity: 'sha512-x', license: 'MIT' };

it('package.json and its lock hold what they may', () => {
  expect(lockFaults(read('package.json') as Manifest, read('package-lock.json') as Lock)).toEqual([]);
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
])('%s is found', (_, manifest: Manifest, packages, fault) => {
  expect(lockFaults(manifest, { packages } as Lock).join()).toContain(fault);
});

it('a choice of licences is enough where one of them permits', () => {
  const packages = { 'node_modules/a': { ...good, license: '(GPL-2.0 OR MIT)' } };
  expect(lockFaults({}, { packages })).toEqual([]);
});
