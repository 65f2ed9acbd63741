#!/usr/bin/env node
/** `npm run cli` and `npx --no-install cloud-connector`: the command-line tool, as it was built. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const program = join(ROOT, 'dist/client/cli/main.js');
// It is not built here: what a script reads from it is its results and nothing else.
if (existsSync(program)) await import(program);
else {
  console.error('The tool is not built yet: npm run build');
  process.exitCode = 2;
}
