/**
 * The failures of Redis commands, as classes: callers decide by the class, never by a text. An error reply is classified by
 * its code, the first word, which is part of Redis' protocol. All other errors of a command come from its connection.
 */
import { ReplyError, type Command } from 'ioredis';

/** What ioredis says of a command that it does not send. */
const NOT_CONNECTED = /^Stream isn't writeable/;

/** A command has failed. Its message is that of the cause. Redis may have executed the command. */
export abstract class RedisError extends Error {
  /** Whether a retry may succeed without a change of the program or of stored data. */
  abstract readonly canRetry: boolean;

  constructor(cause: Error) {
    super(NOT_CONNECTED.test(cause.message) ? 'there is no connection to Redis' : cause.message, { cause });
  }
}

/** Redis cannot be reached, replies too late, or does not serve this connection now. */
export class RedisUnavailableError extends RedisError {
  override readonly name: 'RedisUnavailableError' | 'RedisForbiddenError' | 'RedisCredentialsError' =
    'RedisUnavailableError';
  override readonly canRetry = true;
}

/** Redis refuses the user or the password of the connection. */
export class RedisCredentialsError extends RedisUnavailableError {
  override readonly name = 'RedisCredentialsError';
}

/** The user of the connection lacks a right. An operator can give it while the app runs. */
export class RedisForbiddenError extends RedisUnavailableError {
  override readonly name = 'RedisForbiddenError';

  /** What the user lacks, as a rule of Redis' access control if it is a command, such as `+client|unblock`. */
  get right(): string {
    const command = /'([a-z|_.-]+)' command/i.exec(this.message)?.[1];
    return command === undefined ? 'a key or a channel that begins with KEY_PREFIX' : `+${command}`;
  }
}

/** Redis serves no connection for a while: it loads its data, or runs a long script. */
export class RedisBusyError extends RedisError {
  override readonly name = 'RedisBusyError';
  override readonly canRetry = true;
}

/** Redis has reached its `maxmemory`. */
export class RedisFullError extends RedisError {
  override readonly name = 'RedisFullError';
  override readonly canRetry = true;
}

/** A script or a command failed because of its arguments or of stored data: a retry would fail as well. */
export class RedisScriptError extends RedisError {
  override readonly name = 'RedisScriptError';
  override readonly canRetry = false;
}

/** Codes of errors that end when servers have changed their roles, or when an operator has changed our permissions. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  ...['READONLY', 'MASTERDOWN', 'CLUSTERDOWN', 'MOVED', 'ASK', 'TRYAGAIN', 'CROSSSLOT', 'UNBLOCKED', 'NOREPLICAS'],
  ...['MISCONF', 'EXECABORT', 'UNKILLABLE', 'NOTBUSY'],
]);
const CREDENTIALS: ReadonlySet<string> = new Set(['NOAUTH', 'WRONGPASS']);
const BUSY: ReadonlySet<string> = new Set(['LOADING', 'BUSY']);

/** The error as one of the classes above; undefined if it is not an error of Redis. */
export function asRedisError(error: unknown): RedisError | undefined {
  if (error instanceof RedisError) return error;
  if (!(error instanceof (ReplyError as new () => Error))) return undefined;
  const code = /^\S*/.exec(error.message)?.[0] ?? '';
  if (code === 'NOPERM') return new RedisForbiddenError(error);
  if (CREDENTIALS.has(code)) return new RedisCredentialsError(error);
  if (UNAVAILABLE.has(code)) return new RedisUnavailableError(error);
  if (BUSY.has(code)) return new RedisBusyError(error);
  return code === 'OOM' ? new RedisFullError(error) : new RedisScriptError(error);
}

/** Whether the error is one of Redis after which a retry may succeed: Redis is away, too slow, busy or full. */
export function isRedisError(error: unknown): boolean {
  return asRedisError(error)?.canRetry ?? false;
}

const typed = new WeakSet<Command>();

/** Makes the command reject with one of the classes above, which `onError` is called with first. */
export function withTypedErrors(command: Command, onError: (error: RedisError) => void): Command {
  // A command that waited in the offline queue is sent a second time.
  if (typed.has(command)) return command;
  typed.add(command);
  const { reject } = command;
  command.reject = (cause) => {
    const error = asRedisError(cause) ?? new RedisUnavailableError(cause);
    onError(error);
    reject(error);
  };
  return command;
}
