/** Shared by all benchmarks: CPU of processes, metrics of our apps, percentiles, a description of the machine. */
import { fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** CPU seconds a process has used, as Linux counts them. @param {number | undefined} pid */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of a process in MiB. @param {number | undefined} pid */
export function rssMiB(pid) {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** The sum of a metric over its labels, from an app's /metrics. @param {string} url @param {string} name */
export async function metric(url, name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  let sum = 0;
  for (const line of text.split('\n')) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ')));
  }
  return sum;
}

/** @param {number[]} values @param {number} p 0 to 1 */
export function percentile(values, p) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN;
}

/** For tables. @param {number} value @param {number} [decimals] */
export function round(value, decimals = 2) {
  return Number(value.toFixed(decimals));
}

/** Runs a script of this folder to its end. @param {string} script @param {(string | number)[]} args */
export function runScript(script, args) {
  const child = spawn(process.execPath, [pathOf(script), ...args.map(String)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  endWithUs(child);
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => (code === 0 ? resolve(undefined) : reject(new Error(`${script} ended with ${code}`))));
  });
}

/** Starts a script of this folder that answers messages. @param {string} script @param {(string | number)[]} args */
export function forkScript(script, args) {
  return endWithUs(fork(pathOf(script), args.map(String)));
}

/** A benchmark that fails, or is stopped by a signal, leaves no process behind. @param {import('node:child_process').ChildProcess} child */
function endWithUs(child) {
  const end = () => child.kill();
  process.once('exit', end);
  child.once('exit', () => process.off('exit', end));
  return child;
}

/** @param {import('node:child_process').ChildProcess} child @param {unknown} question @returns {Promise<any>} */
export function ask(child, question) {
  return new Promise((resolve) => {
    child.once('message', resolve);
    child.send(/** @type {string} */ (question));
  });
}

/** @param {string} script */
function pathOf(script) {
  return fileURLToPath(new URL(script, import.meta.url));
}

export function machine() {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model ?? 'cpu'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}
