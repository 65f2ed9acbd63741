/** Whether Redis answers, for readiness: with its address, and why it does not. */
import { RedisError } from './redis-error.js';
import { mastersOf, unreachableMasters, type Redis } from './redis.js';
import { faultOf } from './redis-fault.js';
import { causeOf, unreachable } from './unreachable.js';

const LATE = 'no answer within a second';

/** @returns undefined if every master replies within a second, otherwise what is wrong, without user name and password */
export async function redisOutage(redis: Redis): Promise<string | undefined> {
  const { address, cause, ofNodes } = faultOf(redis);
  if (redis.status !== 'ready') return unreachable('Redis', address, cause ?? 'no answer');
  const missing = unreachableMasters(redis);
  if (missing.length > 0) {
    const causes = new Set(missing.map((master) => ofNodes.get(master) ?? 'no connection'));
    return unreachable('a master of Redis', missing.join(', '), [...causes].join('; '));
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(unreachable('Redis', address, LATE)), 1000);
  });
  const answer = Promise.all(mastersOf(redis).map((master) => master.ping())).then(
    () => undefined,
    (error: unknown) => {
      const reply = error instanceof RedisError ? error.cause : error;
      const isRefused = reply instanceof Error && reply.name === 'ReplyError';
      return isRefused
        ? `Redis at ${address} refuses: ${reply.message.split(' ', 1)[0]}`
        : unreachable('Redis', address, causeOf(reply));
    },
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
