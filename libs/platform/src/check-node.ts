/** Ends a process whose Node is too old. It must run before any dependency is imported: on an old Node the import may fail. */
import { writeSync } from 'node:fs';
import { nodeVersionError } from './node-version.js';

export function checkNode(app: string): void {
  const message = nodeVersionError();
  if (message === undefined) return;
  // The format of the logger, which cannot be imported here.
  const line = { level: 'fatal', time: new Date().toISOString(), app, pid: process.pid, message };
  writeSync(1, `${JSON.stringify(line)}\n`);
  process.exit(1);
}
