/**
 * An error as a log line shows it. Client libraries attach to their errors what they sent: a command of Redis with its
 * password, the headers of a request, the options of a connection. Only members known to hold no secret are kept.
 */

export interface LoggedError {
  type: string;
  message: string;
  stack?: string;
  cause?: LoggedError;
  /** Why the last node failed, if all nodes of a cluster did. */
  lastNodeError?: LoggedError;
  /** Of an AggregateError. */
  errors?: LoggedError[];
  /** Those of `MEMBERS`. */
  [member: string]: unknown;
}

const MEMBERS = ['code', 'errno', 'syscall', 'address', 'port', 'path'];
const NESTED = ['cause', 'lastNodeError'];
const MAX_DEPTH = 5;
const MAX_ERRORS = 10;

/** A server repeats the arguments of a command that it does not know, and those of AUTH and HELLO are secrets. */
const REPEATED_ARGUMENTS = /(unknown command .*?with args beginning with:).*/gi;

export function loggedError(error: unknown, depth = 0): LoggedError {
  if (!isErrorLike(error)) {
    return { type: typeof error, message: typeof error === 'string' ? error : 'a value that is no error' };
  }
  const { constructor, name, message, stack } = error;
  const logged: LoggedError = {
    type: typeof constructor === 'function' ? constructor.name : name,
    message: withoutArguments(message),
  };
  if (typeof stack === 'string') logged.stack = withoutArguments(stack);
  for (const member of MEMBERS) {
    const value = error[member];
    if (typeof value === 'string' || typeof value === 'number') logged[member] = value;
  }
  if (depth === MAX_DEPTH) return logged;
  for (const member of NESTED) {
    if (isErrorLike(error[member])) logged[member] = loggedError(error[member], depth + 1);
  }
  const { errors } = error;
  if (Array.isArray(errors)) {
    logged.errors = errors.slice(0, MAX_ERRORS).map((inner: unknown) => loggedError(inner, depth + 1));
  }
  return logged;
}

/** What went wrong and why, in one line without stacks: for what is expected to happen. */
export function errorLine(error: unknown): string {
  const texts: string[] = [];
  for (let logged: LoggedError | undefined = loggedError(error); logged !== undefined; logged = logged.cause) {
    const { type, message } = logged;
    if (texts.at(-1)?.endsWith(`: ${message}`) !== true) texts.push(`${type}: ${message}`);
  }
  return texts.join('; ');
}

function isErrorLike(value: unknown): value is Error & Record<string, unknown> {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}

function withoutArguments(text: string): string {
  return text.replace(REPEATED_ARGUMENTS, '$1 …');
}
