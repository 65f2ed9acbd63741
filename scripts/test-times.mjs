/** Prints after a run of Jest how long each project and the slowest files took: what the run spends its time on. */
import { relative } from 'node:path';

/**
 * @typedef {object} TestFile of Jest, as far as it is used
 * @property {string} path
 * @property {{ config: { rootDir: string, displayName?: { name: string } } }} context
 */

const SLOWEST = 10;

export default class TestTimes {
  /** @type {{ project: string, file: string, seconds: number }[]} */
  #files = [];

  /** @param {TestFile} file @param {{ perfStats: { runtime: number } }} result */
  onTestResult({ path, context: { config } }, { perfStats }) {
    const project = config.displayName?.name ?? '';
    this.#files.push({ project, file: relative(config.rootDir, path), seconds: perfStats.runtime / 1000 });
  }

  /** @param {unknown} _ @param {{ startTime: number }} results */
  onRunComplete(_, { startTime }) {
    const projects = [...new Set(this.#files.map(({ project }) => project))].map((project) => {
      const files = this.#files.filter((file) => file.project === project);
      return { name: `${project} (${files.length})`, seconds: sumOf(files) };
    });
    const slowest = this.#files.map(({ project, file, seconds }) => ({ name: `${project} ${file}`, seconds }));
    print('Seconds by project (files)', projects.toSorted(longestFirst));
    print('Seconds of the slowest files', slowest.toSorted(longestFirst).slice(0, SLOWEST));
    const all = (Date.now() - startTime) / 1000;
    console.log(`\n${all.toFixed(0)} s passed; all files together took ${sumOf(this.#files).toFixed(0)} s.`);
  }

  /** Jest asks whether the run failed because of this reporter. */
  getLastError() {
    return undefined;
  }
}

/** @typedef {{ name: string, seconds: number }} Row */

/** @param {Row} one @param {Row} other */
function longestFirst(one, other) {
  return other.seconds - one.seconds;
}

/** @param {{ seconds: number }[]} files */
function sumOf(files) {
  return files.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** @param {string} title @param {Row[]} rows */
function print(title, rows) {
  console.log(`\n${title}:`);
  for (const { name, seconds } of rows) console.log(`${seconds.toFixed(1).padStart(8)}  ${name}`);
}
