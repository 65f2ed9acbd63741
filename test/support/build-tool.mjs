/** Builds with the tool of another language, which may be missing. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, findProgram } from '../../scripts/setup.mjs';

const FIRST_LINES = 5;
/** A registry that does not answer must not hold up other tests. */
const BUILD_MS = 300_000;

/** @returns the folder for what is built from a folder of test */
export function buildFolder(/** @type {string} */ name) {
  const folder = join(ROOT, 'node_modules/.cache', name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** @returns the folder of test with the sources */
export function sourceFolder(/** @type {string} */ name) {
  return join(ROOT, 'test', name);
}

/**
 * @param {string[]} programs all that it takes, the one to run first
 * @param {string[]} args
 * @param {{ language: string, cwd: string, failure: string }} options `failure` says what it means if this fails
 * @returns {string | undefined} why nothing was built: "no Go", for example
 */
export function build([program = '', ...others], args, { language, cwd, failure }) {
  if ([program, ...others].some((name) => findProgram(name) === undefined)) return `no ${language}`;
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: BUILD_MS });
  if (status === 0) return undefined;
  if (error) return `${failure}: "${[program, ...args].join(' ')}" failed: ${error.message}`;
  const lines = `${stderr}${stdout}`.split('\n').filter((line) => line.trim() !== '');
  return `${failure}: "${[program, ...args].join(' ')}" failed:\n${lines.slice(0, FIRST_LINES).join('\n')}`;
}
