/** What a command works with. */
import type { CloudConnector } from '../cloud-connector.js';
import type { ParsedArgs } from './command-line.js';
import type { Output } from './output.js';

export interface Context {
  connector: CloudConnector;
  args: ParsedArgs;
  out: Output;
  /** Aborted by Ctrl-C. */
  interrupted: AbortSignal;
}

/** A value in a table or a line. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
