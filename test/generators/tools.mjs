/** Runs generators and compilers. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../../scripts/setup.mjs';

/** The document as it is in the repository. */
export const DOCUMENT = join(ROOT, 'docs/openapi.json');

/**
 * @param {string} program @param {string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv }} options
 * @throws Error with what the program has printed
 */
export function runTool(program, args, { cwd, env = {} }) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    ...{ cwd, encoding: 'utf8', maxBuffer: 2 ** 26 },
    env: { ...process.env, ...env },
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`"${[program, ...args].join(' ')}" failed:\n${stdout}${stderr}`);
}
