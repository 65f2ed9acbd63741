/** `npm run key` and `npm start` install nothing after `npm ci`. */
import { holdsAllPackages } from '../../scripts/setup.mjs';

const LOCK = {
  '': { name: 'root' },
  'libs/client': { version: '1.0.0' },
  'node_modules/client': { resolved: 'libs/client', link: true },
  'node_modules/a': { version: '1.0.0' },
  'node_modules/a/node_modules/b': { version: '2.0.0', dev: true },
  'node_modules/of-another-platform': { version: '1.0.0', optional: true },
};

const lock = (packages: object): string => JSON.stringify({ packages });

it.each([
  ['all packages, but those of other platforms', { 'node_modules/of-another-platform': undefined }, true],
  ['another version of a package', { 'node_modules/a/node_modules/b': { version: '2.0.1', dev: true } }, false],
  ['all packages but one', { 'node_modules/a': undefined }, false],
  ['all packages but a workspace', { 'node_modules/client': undefined }, false],
])('what npm has installed holds %s', (_what, changes, isAll) => {
  expect(holdsAllPackages(lock(LOCK), lock({ ...LOCK, ...changes }))).toBe(isAll);
});
