/** How a command of the tool is described: its help, its completions and the parser follow from it. */
import type { Handler, LocalHandler } from './context.js';

export interface OptionSpec {
  /** Such as `--limit <N>`, or `--wait` for one without a value. */
  flags: string;
  about: string;
  choices?: readonly string[];
  /** May be given several times. */
  repeatable?: true;
  required?: true;
}

export interface ArgumentSpec {
  /** In capitals. */
  name: string;
  about: string;
  choices?: readonly string[];
  optional?: true;
  /** Takes one or more. */
  variadic?: true;
}

interface About {
  /** With its group, such as `connections list`. */
  path: string;
  /** One line. */
  summary: string;
  /** What else the help says. */
  details?: string;
  arguments?: readonly ArgumentSpec[];
  options?: readonly OptionSpec[];
  /** Command lines, without the name of the tool. */
  examples: readonly string[];
  /** The `operationId`s that it calls. */
  operations?: readonly string[];
  /** Runs if the name of its group stands alone. */
  isDefault?: true;
  /** Not in the help: the name that a command had in 0.1.0, or before this release. */
  former?: true;
}

/** `load` imports what the command needs when it is run: a command starts without the code of the others. */
export interface RemoteCommand extends About {
  load: () => Promise<Handler>;
  loadLocal?: never;
}

export interface LocalCommand extends About {
  loadLocal: () => Promise<LocalHandler>;
  load?: never;
}

export type CommandSpec = RemoteCommand | LocalCommand;

export interface GroupSpec {
  name: string;
  summary: string;
}

/** The same command under the name that it had before. */
export function former(path: string, spec: RemoteCommand, changes: Partial<RemoteCommand> = {}): RemoteCommand {
  const examples = spec.examples.map((example) => example.replace(spec.path, path));
  return { ...spec, path, examples, former: true, ...changes };
}

export const ID_OF_CLIENT: ArgumentSpec = { name: 'CLIENT_ID', about: 'id of the client' };
export const ID_OF_MESSAGE: ArgumentSpec = { name: 'MESSAGE_ID', about: 'id of the message, as send prints it' };

export const LIMIT: OptionSpec = { flags: '--limit <N>', about: 'how many rows at most; 100 in a table by default' };
export const CURSOR: OptionSpec = { flags: '--cursor <CURSOR>', about: 'go on after the rows of an earlier call' };
