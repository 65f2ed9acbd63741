/** Ends a process whose Node is too old, before anything else is imported: on such a one a dependency may fail to be. */
import { writeSync } from 'node:fs';
import { nodeTrouble } from './node-version.js';

export function checkNode(app: string): void {
  const message = nodeTrouble();
  if (message === undefined) return;
  // As the logger writes it, which is a dependency.
  const line = { level: 'fatal', time: new Date().toISOString(), app, pid: process.pid, message };
  writeSync(1, `${JSON.stringify(line)}\n`);
  process.exit(1);
}
