#!/usr/bin/env node
import { nodeVersionError } from './node-version.js';
import { run } from './run.js';

const versionError = nodeVersionError();
if (versionError !== undefined) {
  console.error(versionError);
  process.exit(1);
}

const interrupt = new AbortController();
// Ctrl-C closes the event stream of `watch`, and ends any other command at once.
process.once('SIGINT', () => {
  interrupt.abort();
  process.exitCode = 130;
  if (process.argv[2] !== 'watch') process.exit();
});
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of the pipe has closed it.
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

process.exitCode = await run(process.argv.slice(2), { ...process, interrupted: interrupt.signal });
