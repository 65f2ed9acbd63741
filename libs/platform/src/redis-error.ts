/**
 * What can go wrong with Redis, as classes: what callers do about it depends on the class, never on a text. The code is
 * the first word of an error reply, which belongs to Redis' protocol; all other errors of a command come from its connection.
 */
import { ReplyError, type Command } from 'ioredis';

/** An error of a command; its message is that of the cause. What was asked may have been done all the same. */
export abstract class RedisError extends Error {
  /** Whether another try may succeed without anybody changing a program or a record. */
  abstract readonly canRetry: boolean;

  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

/** Redis is away, or answers too late, or this server does not serve us now. */
export class RedisUnavailableError extends RedisError {
  override readonly name = 'RedisUnavailableError';
  override readonly canRetry = true;
}

/** Redis is there and serves nobody for a while: it loads its data, or runs a long script. */
export class RedisBusyError extends RedisError {
  override readonly name = 'RedisBusyError';
  override readonly canRetry = true;
}

/** Redis has reached its `maxmemory`. */
export class RedisFullError extends RedisError {
  override readonly name = 'RedisFullError';
  override readonly canRetry = true;
}

/** A script or a command failed on what it was given or on what is stored: another try fails as well. */
export class RedisScriptError extends RedisError {
  override readonly name = 'RedisScriptError';
  override readonly canRetry = false;
}

/** The servers of a deployment change their roles, or an operator changes what we may do: the next try may be served. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  ...['READONLY', 'MASTERDOWN', 'CLUSTERDOWN', 'MOVED', 'ASK', 'TRYAGAIN', 'CROSSSLOT', 'UNBLOCKED', 'NOREPLICAS'],
  ...['NOAUTH', 'WRONGPASS', 'NOPERM', 'MISCONF', 'EXECABORT', 'UNKILLABLE', 'NOTBUSY'],
]);
const BUSY: ReadonlySet<string> = new Set(['LOADING', 'BUSY']);

/** The error as one of the classes above; undefined for an error that is not Redis'. */
export function asRedisError(error: unknown): RedisError | undefined {
  if (error instanceof RedisError) return error;
  if (!(error instanceof (ReplyError as new () => Error))) return undefined;
  const code = /^\S*/.exec(error.message)?.[0] ?? '';
  if (UNAVAILABLE.has(code)) return new RedisUnavailableError(error);
  if (BUSY.has(code)) return new RedisBusyError(error);
  return code === 'OOM' ? new RedisFullError(error) : new RedisScriptError(error);
}

/** Whether Redis is away, too slow, busy or full, so that another try may succeed. */
export function isRedisError(error: unknown): boolean {
  return asRedisError(error)?.canRetry ?? false;
}

const typed = new WeakSet<Command>();

/** Has a command that fails be rejected with one of the classes above. */
export function withTypedErrors(command: Command): Command {
  // One that waited for its connection comes here again.
  if (typed.has(command)) return command;
  typed.add(command);
  const { reject } = command;
  command.reject = (error) => reject(asRedisError(error) ?? new RedisUnavailableError(error));
  return command;
}
