/**
 * The suites of `npm test`: the checks that run before Jest, and the projects of jest.config.cjs. Jest passes a project
 * without specs, a spec without a project, and a spec whose tests are all skipped; `notRun` reports them.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Projects of jest.config.cjs that `npm test` leaves out; their specs are in the folder of test with that name. */
export const SEPARATE = ['brokers'];

/** Projects that start no app. Their specs mostly wait. */
export const WITHOUT_APPS = ['unit', 'contracts'];

/** npm scripts, which run at the same time. */
export const CHECKS = ['lint', 'typecheck', 'boundaries'];

const SLOWEST_FILES = 10;
const WITHOUT_SPECS = ['node_modules', 'dist', 'coverage'];
const IS_SPEC = /\.(spec|test)\.[cm]?[jt]sx?$/;

/**
 * @typedef {{ name: string, seconds: number }} CheckRun
 * @typedef {{ project: string, file: string, seconds: number, passed: number, failed: number }} SpecRun
 */

/** @returns {string[]} the paths of the spec files of `npm test` below a folder */
export function findSpecs(/** @type {string} */ root, folder = '') {
  if (SEPARATE.some((name) => folder === join('test', name))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return IS_SPEC.test(entry.name) ? [path] : [];
    return entry.name.startsWith('.') || WITHOUT_SPECS.includes(entry.name) ? [] : findSpecs(root, path);
  });
}

/**
 * @param {{ projects: string[], specs: string[] }} expected
 * @param {{ checks: CheckRun[], runs: SpecRun[] }} done
 * @returns {string[]} each suite that did not run, and why
 */
export function notRun({ projects, specs }, { checks, runs }) {
  const faults = CHECKS.filter((name) => !checks.some((check) => check.name === name)).map(
    (name) => `${name} did not run`,
  );
  if (runs.length === 0) return [...faults, 'Jest ran no spec'];
  for (const project of projects) {
    if (!runs.some((run) => run.project === project)) faults.push(`the project ${project} ran no spec`);
  }
  for (const spec of specs) {
    if (!runs.some(({ file }) => file === spec))
      faults.push(`${spec} did not run: no project of jest.config.cjs matches it`);
  }
  for (const { project, file, passed, failed } of runs) {
    if (passed + failed === 0) faults.push(`${file} ran no test in the project ${project}`);
  }
  return faults;
}

/** @param {{ checks: CheckRun[], runs: SpecRun[] }} done @returns {string} the time of each suite, and the slowest files */
export function timeTable({ checks, runs }) {
  const projects = [...new Set(runs.map(({ project }) => project))].map((project) => {
    const files = runs.filter((run) => run.project === project);
    const tests = sum(files.map(({ passed, failed }) => passed + failed));
    const about = `${files.length} ${files.length === 1 ? 'file' : 'files'}, ${tests} tests`;
    return { name: `${project} (${about})`, seconds: sum(files.map(({ seconds }) => seconds)) };
  });
  const files = runs.map(({ project, file, seconds }) => ({ name: `${project} ${file}`, seconds }));
  return [
    'Seconds of each suite (of Jest: the sum over its files, some of which run at the same time)',
    ...[...checks, ...projects.toSorted(longestFirst)].map(line),
    ...(files.length > 0 ? ['', 'Seconds of the slowest files'] : []),
    ...files.toSorted(longestFirst).slice(0, SLOWEST_FILES).map(line),
  ].join('\n');
}

/** @param {CheckRun} one @param {CheckRun} other */
function longestFirst(one, other) {
  return other.seconds - one.seconds;
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** @param {CheckRun} row */
function line({ name, seconds }) {
  return `${seconds.toFixed(1).padStart(8)}  ${name}`;
}
