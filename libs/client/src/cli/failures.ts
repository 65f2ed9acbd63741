/** The exit codes, and what the tool prints after a failure: the cause and the remedy. */
import { ProblemError, UnreachableError } from '../errors.js';
import { printable } from './printable.js';

export const EXIT = {
  done: 0,
  /** The message was not sent, the wait ran out, or a sweep was not complete. */
  failed: 1,
  usage: 2,
  /** The service refused, or cannot be reached. */
  refused: 3,
  /** A fault of this tool. */
  fault: 70,
} as const;

/** The command line or a setting is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command whose help says more. */
  readonly path: string | undefined;

  constructor(message: string, { path, cause }: { path?: string; cause?: unknown } = {}) {
    super(message, { cause });
    this.path = path;
  }
}

/** The message of the error asks what may be wrong with the address. */
const OTHER_ADDRESS = 'Set --url or CLOUD_CONNECTOR_URL to the address of a gateway, or choose a profile.';

export interface Failure {
  exit: number;
  text: string;
}

/** @param command the one that was run, whose help is named after wrong usage */
export function failureOf(error: unknown, command = ''): Failure {
  if (error instanceof ProblemError) return { exit: EXIT.refused, text: refusal(error) };
  // A call that does not know its outcome has the last refusal as its cause.
  if (error instanceof UnreachableError && error.cause instanceof ProblemError)
    return { exit: EXIT.refused, text: `${refusal(error.cause)}\nThe message may have been accepted.` };
  if (error instanceof UnreachableError) {
    return { exit: EXIT.refused, text: `${printable(error.message)}\n${OTHER_ADDRESS}` };
  }
  // The client throws a RangeError for an invalid id or token.
  if (error instanceof UsageError || error instanceof RangeError) {
    const path = error instanceof UsageError ? (error.path ?? command) : command;
    return {
      exit: EXIT.usage,
      text: `${printableLines(error.message)}\nSee: ${`cloud-connector help ${path}`.trimEnd()}`,
    };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exit: EXIT.fault, text: `Unexpected: ${text}` };
}

/** The lines of a text of this tool. */
function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

function refusal(error: ProblemError): string {
  const wrong = isRepeated(error)
    ? []
    : error.errors.map(({ pointer, in: place, name, detail }) => `  ${pointer ?? `${place} ${name}`}: ${detail}`);
  const trace = error.requestId === '' ? [] : [`Request ${error.requestId} in the logs of the gateway.`];
  // A proxy or another program has answered.
  const isOwn = error.type !== 'about:blank';
  const first = isOwn ? `Refused (${error.status} ${error.kind}): ${error.detail}` : error.detail;
  const lines = [first, ...wrong, ...remedyLines(error), ...trace];
  // Line breaks in texts of the service are escaped, so that each line begins with a text of this tool.
  return lines.map(printable).join('\n');
}

/** Whether the only error says what the detail says. */
function isRepeated({ errors, detail }: ProblemError): boolean {
  const [only] = errors;
  if (only === undefined || errors.length > 1) return false;
  const name = only.name ?? only.pointer;
  return name !== undefined && detail.includes(name) && detail.includes(only.detail);
}

/** That of the client, unless this tool has options for it. */
function remedyLines({ type, kind, status, retryAfter, remedy }: ProblemError): string[] {
  if (type === 'about:blank' && (status === 404 || status === 400)) return [OTHER_ADDRESS];
  if (retryAfter === undefined && status === 401)
    return ['Set CLOUD_CONNECTOR_TOKEN, or --token-file, to a key, or log in: cloud-connector login.'];
  if (kind === 'unknown-connection')
    return ['List the known clients: cloud-connector connections list', 'Commands: cloud-connector help connections'];
  if (kind === 'client-offline') return ['Without "--when-offline reject" the message waits for the client.'];
  return remedy === undefined ? [] : [remedy];
}
