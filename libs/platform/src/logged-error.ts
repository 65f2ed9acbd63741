/**
 * The form of an error in a log line. Client libraries attach secrets to their errors: a Redis command with its password,
 * the headers of a request, the options of a connection. So only members that hold no secret are logged.
 */
import { RedisUnavailableError } from './redis-error.js';

export interface LoggedError {
  type: string;
  message: string;
  stack?: string;
  cause?: LoggedError;
  /** If all nodes of a cluster failed: the error of the last one. */
  lastNodeError?: LoggedError;
  /** The errors of an AggregateError. */
  errors?: LoggedError[];
  /** The members in `MEMBERS`. */
  [member: string]: unknown;
}

const MEMBERS = ['code', 'errno', 'syscall', 'address', 'port', 'path'];
const NESTED = ['cause', 'lastNodeError'];
const MAX_DEPTH = 5;
const MAX_ERRORS = 10;

/** A server that does not know a command repeats its arguments, and the arguments of AUTH and HELLO are secrets. */
const REPEATED_ARGUMENTS = /(unknown command .*?with args beginning with:).*/gi;

export function loggedError(error: unknown, depth = 0, mayHaveStack = true): LoggedError {
  if (!isErrorLike(error)) {
    return { type: typeof error, message: typeof error === 'string' ? error : 'not an error' };
  }
  const { constructor, name, message, stack } = error;
  const logged: LoggedError = {
    type: typeof constructor === 'function' ? constructor.name : name,
    message: withoutArguments(message),
  };
  // That Redis is away is no fault of the code: no stack.
  const withStack = mayHaveStack && !(error instanceof RedisUnavailableError);
  if (withStack && typeof stack === 'string') logged.stack = withoutArguments(stack);
  for (const member of MEMBERS) {
    const value = error[member];
    if (typeof value === 'string' || typeof value === 'number') logged[member] = value;
  }
  if (depth === MAX_DEPTH) return logged;
  for (const member of NESTED) {
    if (isErrorLike(error[member])) logged[member] = loggedError(error[member], depth + 1, withStack);
  }
  const { errors } = error;
  if (Array.isArray(errors)) {
    logged.errors = errors.slice(0, MAX_ERRORS).map((inner: unknown) => loggedError(inner, depth + 1, withStack));
  }
  return logged;
}

/** The error and its causes in one line without stacks, for failures that are expected. */
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
