/** A reporter of Jest: writes what ran, and how long it took, to the file that TEST_TIMES names. `npm test` prints it. */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

/**
 * @typedef {object} TestFile the members of Jest's own type that are used here
 * @property {string} path
 * @property {{ config: { rootDir: string, displayName?: { name: string } } }} context
 */

/** @typedef {{ perfStats: { runtime: number }, numPassingTests: number, numFailingTests: number }} TestResult */

export default class TestTimes {
  /** @type {import('./suites.mjs').SpecRun[]} */
  #runs = [];

  /** @param {TestFile} file @param {TestResult} result */
  onTestResult({ path, context: { config } }, { perfStats, numPassingTests, numFailingTests }) {
    this.#runs.push({
      project: config.displayName?.name ?? '',
      file: relative(config.rootDir, path),
      seconds: perfStats.runtime / 1000,
      passed: numPassingTests,
      failed: numFailingTests,
    });
  }

  onRunComplete() {
    if (process.env.TEST_TIMES) writeFileSync(process.env.TEST_TIMES, JSON.stringify(this.#runs));
  }

  /** Jest asks whether the run failed because of this reporter. */
  getLastError() {
    return undefined;
  }
}
