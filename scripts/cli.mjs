#!/usr/bin/env node
/**
 * `npm run cli` and `npx --no-install cloud-connector`: the built command-line tool. `check-broker` is a program of the
 * ingester, because the client has no MQTT library; its help is in the client's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const [command, ...args] = process.argv.slice(2);
const isCheck = command === 'check-broker' && !args.some((arg) => arg === '--help' || arg === '-h');
const program = join(ROOT, isCheck ? 'dist/apps/status-ingester/src/check-broker.js' : 'dist/client/cli/main.js');
// This file does not build it: scripts read its output, which must hold results only.
if (existsSync(program)) {
  if (isCheck) process.argv.splice(2, 1);
  await import(program);
} else {
  console.error('The tool is not built yet: npm run build');
  process.exitCode = 2;
}
