/** A script that starts a system of its own leaves nothing behind. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

const SCRIPTS = pathToFileURL(join(__dirname, '../../scripts')).href;

/** Launches a process, prints its folder and the id of the process, and goes on with `rest`. */
function start(rest: string): ChildProcessByStdio<null, Readable, Readable> {
  const script = `
    import { runPrivately } from '${SCRIPTS}/private-run.mjs';
    import { SetupError } from '${SCRIPTS}/setup.mjs';
    import { launch } from '${SCRIPTS}/stack.mjs';
    await runPrivately('spec', async (dir) => {
      const { pid } = launch('long', 'sleep', ['600'], { dir });
      console.log(JSON.stringify({ dir, pid }));
      ${rest}
    });`;
  return spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'pipe'] });
}

it.each([
  ['succeeds', '', 0, ''],
  ['lacks something', `throw new SetupError('a program is missing');`, 1, 'a program is missing\n'],
  ['is interrupted', `await new Promise(() => process.kill(process.pid, 'SIGINT'));`, 1, '\nEnded by SIGINT.\n'],
])('a script that %s stops what it has launched, and removes its folder', async (_how, rest, code, said) => {
  const script = start(rest);
  const [output, errors, [exit]] = await Promise.all([
    text(script.stdout),
    text(script.stderr),
    once(script, 'exit') as Promise<[number]>,
  ]);
  const { dir, pid } = JSON.parse(output) as { dir: string; pid: number };
  expect([exit, errors, existsSync(dir)]).toEqual([code, said, false]);
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});
