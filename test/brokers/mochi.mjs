/** mochi, a broker in Go. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { HOST, freePort, launch, ping } from '../../scripts/stack.mjs';
import { build, buildFolder, sourceFolder } from './build-tool.mjs';

const PROGRAM = join(buildFolder('mochi'), 'mochi');

/** @returns {string | undefined} why it cannot run here */
export function prepareMochi() {
  return build(['go'], ['build', '-o', PROGRAM, '.'], { language: 'Go', cwd: sourceFolder('mochi') });
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
