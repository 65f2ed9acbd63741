/** What a command works with. */
import type { CloudConnector } from '../cloud-connector.js';
import type { Args, Environment } from './args.js';
import type { Output } from './output.js';

/** Runs a program of the service with arguments. Resolves with its exit code. */
export type Program = (args: readonly string[]) => Promise<number>;

/** Programs that this package lacks: the repository of the service adds them. */
export type Programs = Readonly<Partial<Record<'check-broker' | 'keys', Program>>>;

/** Of a command that calls no operation, or chooses itself what it calls. */
export interface LocalContext {
  args: Args;
  out: Output;
  env: Environment;
  programs: Programs;
  /** A signal that Ctrl-C aborts. The command ends itself then; without a call of this, Ctrl-C ends the tool at once. */
  untilInterrupted: () => AbortSignal;
}

export interface Context extends LocalContext {
  connector: CloudConnector;
}

/** Resolves with the exit code. */
export type Handler = (context: Context) => Promise<number>;
export type LocalHandler = (context: LocalContext) => Promise<number>;

/** A value in a table or a line. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
