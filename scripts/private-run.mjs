/** The frame of a script that starts a system of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SetupError } from './setup.mjs';
import { stopAll } from './stack.mjs';

/**
 * Gives a script a folder. In the end, also after Ctrl-C, stops all that it has launched, and removes the folder. Then this process
 * ends, with 1 if the script has failed; of a `SetupError` the message alone is printed.
 * @param {string} name of the folder
 * @param {(dir: string) => Promise<void>} main
 */
export async function runPrivately(name, main) {
  const dir = mkdtempSync(join(tmpdir(), `cloud-connector-${name}-`));
  /** @type {Promise<never>} */
  const interrupted = new Promise((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'])
      process.once(signal, () => reject(new SetupError(`\nEnded by ${signal}.`)));
  });
  let code = 0;
  try {
    await Promise.race([main(dir), interrupted]);
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    code = 1;
  }
  await stopAll();
  rmSync(dir, { recursive: true });
  process.exit(code);
}
