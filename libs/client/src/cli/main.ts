#!/usr/bin/env node
import { nodeTrouble } from './node-version.js';
import { run } from './run.js';

const trouble = nodeTrouble();
if (trouble !== undefined) {
  console.error(trouble);
  process.exit(1);
}

const stopping = new AbortController();
// Ctrl-C ends what follows events in order, and anything else at once.
process.once('SIGINT', () => {
  stopping.abort();
  process.exitCode = 130;
  if (process.argv[2] !== 'watch') process.exit();
});
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read has read enough.
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

process.exitCode = await run(process.argv.slice(2), { ...process, interrupted: stopping.signal });
