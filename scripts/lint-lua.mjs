/**
 * Runs luacheck on each Lua command with its includes, as Redis gets it except for the names: an include alone looks unused.
 * Reports the lines of the files. A part of an include may be unused by some commands, but not by all.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { luaFiles, readLua, shown } from './lua-files.mjs';
import { ROOT, findProgram } from './setup.mjs';

const luacheck = findProgram('luacheck');
if (luacheck === undefined) {
  console.error('Missing: luacheck. Install Debian\'s package lua-check ("sudo apt-get install lua-check").');
  process.exit(1);
}

const config = join(ROOT, '.luacheckrc');
const sources = luaFiles('commands').map((path) => ({ path, ...readLua(path) }));
/** @type {Set<string>} */
const faults = new Set();
/** Places in includes that a command leaves unused, and how many commands do. @type {Map<string, number>} */
const unused = new Map();

for (const { path, keys, args, lines } of sources) {
  const text = lines.map((line) => line.text).join('\n');
  const names = [...keys.map(({ name }) => `KEYS.${name}`), ...args.map(({ name }) => `ARGV.${name}`)];
  for (const name of names) {
    if (!new RegExp(`${name.replace('.', '\\.')}\\b`).test(text)) faults.add(`${shown(path)}: ${name} is never read`);
  }
  const options = ['--config', config, '--codes', '--formatter', 'plain', '--filename', 'lua'];
  const globals = names.length === 0 ? [] : ['--read-globals', ...names];
  const { stdout, stderr, status } = spawnSync(luacheck, [...options, ...globals, '--', '-'], {
    input: text,
    encoding: 'utf8',
  });
  if (status === null || status > 2) throw new Error(`luacheck failed on ${shown(path)}: ${stdout}${stderr}`);
  for (const report of stdout.split('\n')) {
    const [, line, column, what = ''] = /^lua:(\d+):(\d+): (.*)$/.exec(report) ?? [];
    const origin = lines[Number(line) - 1];
    if (origin === undefined) continue;
    const fault = `${shown(origin.path)}:${origin.line}:${column}: ${what}`;
    if (origin.path === path || !what.startsWith('(W211)')) faults.add(fault);
    else unused.set(fault, (unused.get(fault) ?? 0) + 1);
  }
}

for (const path of luaFiles('commands/includes')) {
  const users = sources.filter(({ includes }) => includes.includes(path)).length;
  if (users === 0) faults.add(`${shown(path)}: no command includes it`);
  for (const [fault, count] of unused) {
    if (fault.startsWith(`${shown(path)}:`) && count === users) faults.add(fault);
  }
}

if (sources.length === 0) faults.add('no Lua command was found');
for (const fault of [...faults].sort()) console.error(fault);
if (faults.size > 0) process.exit(1);
console.log(`${sources.length} Lua commands, no fault`);
