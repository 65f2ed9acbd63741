/**
 * `npm run compare:api -- <git revision>`: shows that OpenAPI and AsyncAPI of that revision and of the working tree differ
 * in descriptions, summaries and examples only. Prints every other difference, and then exits with 1.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, SetupError, ensurePackages } from './setup.mjs';

const OLD = mkdtempSync(join(tmpdir(), 'cloud-connector-api-'));
try {
  const [revision, ...more] = process.argv.slice(2);
  if (revision === undefined || more.length > 0) throw new SetupError('Usage: npm run compare:api -- <git revision>');
  if (spawnSync('git', ['rev-parse', '--quiet', '--verify', `${revision}^{commit}`], { cwd: ROOT }).status !== 0)
    throw new SetupError(`There is no commit ${revision} here: name a commit, a branch or a tag of this repository.`);
  ensurePackages('all');
  extract(revision);
  const { parse } = await import('yaml');
  const { apiDifferences } = await import('./api-differences.mjs');
  const asyncApi = (/** @type {string} */ tree) => parse(readFileSync(join(tree, 'docs/asyncapi.yaml'), 'utf8'));
  const differences = [
    ...apiDifferences(asyncApi(OLD), asyncApi(ROOT)).map((line) => `AsyncAPI ${line}`),
    ...apiDifferences(openApi(OLD), openApi(ROOT)).map((line) => `OpenAPI ${line}`),
  ];
  for (const line of differences) console.error(line);
  console.log(
    differences.length === 0
      ? `OpenAPI and AsyncAPI differ from ${revision} in descriptions only, if at all.`
      : `${differences.length} differences from ${revision} that are more than descriptions.`,
  );
  process.exitCode = differences.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exitCode = 2;
} finally {
  rmSync(OLD, { recursive: true });
}

/** Puts the revision into OLD: its files, the packages that its lock names, and our program that prints the OpenAPI. */
function extract(/** @type {string} */ revision) {
  const archive = join(OLD, 'tree.tar');
  call('git', ['archive', '--format=tar', `--output=${archive}`, revision], ROOT);
  call('tar', ['-xf', archive], OLD);
  const lock = (/** @type {string} */ tree) => readFileSync(join(tree, 'package-lock.json'), 'utf8');
  if (lock(OLD) === lock(ROOT)) symlinkSync(join(ROOT, 'node_modules'), join(OLD, 'node_modules'));
  else {
    console.log(`Installing the npm packages of ${revision} …`);
    const options = ['--no-save', '--no-audit', '--no-fund', '--include=dev', '--ignore-scripts', '--prefer-offline'];
    call('npm', ['install', ...options], OLD);
  }
  copyFileSync(join(ROOT, 'scripts/openapi.mjs'), join(OLD, 'scripts/openapi.mjs'));
}

/** The OpenAPI document of a tree, from a build of its gateway. */
function openApi(/** @type {string} */ tree) {
  // 0.1.0 had one script for all that is built.
  const { scripts } = JSON.parse(readFileSync(join(tree, 'package.json'), 'utf8'));
  call('npm', ['run', '--silent', 'build:apps' in scripts ? 'build:apps' : 'build'], tree);
  return JSON.parse(call(process.execPath, ['scripts/openapi.mjs'], tree));
}

/** @returns {string} what the command printed @throws {SetupError} with what it printed about its failure */
function call(/** @type {string} */ command, /** @type {string[]} */ args, /** @type {string} */ cwd) {
  const options = /** @type {const} */ ({ cwd, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const { status, error, stdout, stderr } = spawnSync(command, args, options);
  if (status === 0) return stdout;
  throw new SetupError(`"${[command, ...args].join(' ')}" failed: ${error?.message ?? stdout + stderr}`);
}
