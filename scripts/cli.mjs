#!/usr/bin/env node
/**
 * `npm run cli` and `npx --no-install cloud-connector`: the built command-line tool. `check-broker` is a program of the
 * ingester, because the client has no MQTT library, and `keys` one of the gateway; the help of both is in the client's.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const CHECK_BROKER = 'dist/apps/status-ingester/src/check-broker.js';
const KEYS = 'dist/apps/api-gateway/src/key.js';
const TOOL = 'dist/client/cli/start.js';

const [command, ...args] = process.argv.slice(2);
const isCheck = command === 'check-broker' && !args.some((arg) => arg === '--help' || arg === '-h');
const program = join(ROOT, isCheck ? CHECK_BROKER : TOOL);
// This file does not build it: scripts read its output, which must hold results only.
if (!existsSync(program)) {
  console.error('The tool is not built yet: npm run build');
  process.exitCode = 2;
} else if (isCheck) {
  process.argv.splice(2, 1);
  await import(program);
} else {
  const { start } = await import(program);
  await start({ keys: runKeys });
}

/** @param {readonly string[]} keyArgs @returns {Promise<number>} the exit code */
async function runKeys(keyArgs) {
  const child = spawn(process.execPath, [join(ROOT, KEYS), ...keyArgs], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}
