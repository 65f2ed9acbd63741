/**
 * mochi, a broker in Go. It is built without one lock of its own, because it can stop for good in it:
 * docs/brokers.md, "mochi 2.7.9 can lock up".
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOST, freePort, launch, ping } from '../../scripts/stack.mjs';
import { build, buildFolder, sourceFolder } from '../support/build-tool.mjs';

const OUTPUT = buildFolder('brokers/mochi');
const PROGRAM = join(OUTPUT, 'mochi');
const IN_GO = { language: 'Go', cwd: OUTPUT };

const LOCKED = '\ti.RLock()\n\tdefer i.RUnlock()\n\n\tm := i.GetAll(true)\n';
const UNLOCKED = '\tm := i.GetAll(true)\n';

/** @returns {string | undefined} why it cannot run here */
export function prepareMochi() {
  for (const file of ['go.mod', 'go.sum', 'main.go'])
    copyFileSync(join(sourceFolder('brokers/mochi'), file), join(OUTPUT, file));
  const missing = build(['go'], ['mod', 'vendor'], { ...IN_GO, failure: 'the Go modules cannot be had' });
  if (missing !== undefined) return missing;
  removeLock(join(OUTPUT, 'vendor/github.com/mochi-mqtt/server/v2/inflight.go'));
  // Without -mod=vendor, a GOFLAGS=-mod=mod in the environment would build it with the lock.
  return build(['go'], ['build', '-mod=vendor', '-o', PROGRAM, '.'], { ...IN_GO, failure: 'it cannot be built' });
}

/** `NextImmediate` takes the read lock and calls `GetAll`, which takes it again. */
function removeLock(/** @type {string} */ file) {
  const text = readFileSync(file, 'utf8');
  if (text.split(LOCKED).length !== 2) {
    throw new Error(`${file} is not as in mochi 2.7.9: see whether it needs this change, and take it out if not`);
  }
  writeFileSync(file, text.replace(LOCKED, UNLOCKED));
}

/** @param {import('./brokers.mjs').Options} options */
export async function startMochi({ dir, port, persist = false }) {
  const at = port ?? (await freePort());
  const data = join(dir, 'mochi');
  mkdirSync(data, { recursive: true });
  const part = launch('mochi', PROGRAM, ['-port', `${at}`, ...(persist ? ['-data', data] : [])], { dir });
  await part.until(() => ping(at));
  return Object.assign(part, { port: at, url: `mqtt://${HOST}:${at}` });
}
