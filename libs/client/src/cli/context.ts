/** What a command works with. */
import type { CloudConnector } from '../cloud-connector.js';
import type { Given } from './command-line.js';
import type { Output } from './output.js';

export interface Context {
  connector: CloudConnector;
  given: Given;
  out: Output;
  /** Ends what does not end by itself. */
  interrupted: AbortSignal;
}

/** A value in a table or a line. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
