#!/usr/bin/env node
/** `npm run cli` and `npx --no-install cloud-connector`: the built command-line tool. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const program = join(ROOT, 'dist/client/cli/main.js');
// This file does not build it: scripts read its output, which must hold results only.
if (existsSync(program)) await import(program);
else {
  console.error('The tool is not built yet: npm run build');
  process.exitCode = 2;
}
