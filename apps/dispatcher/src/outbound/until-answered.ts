/** Repeats a command that Redis refuses for the moment. */
import { backoffMs, isRedisError, pause, type Logger } from '@app/platform';

/** Pauses between tries if Redis refuses a command; if Redis is away, the connection waits. */
const REFUSED_MS = { first: 100, most: 5000 };

/** @throws what `send` throws, if it is not about Redis or the shard has ended */
export async function untilAnswered<Reply>(
  send: () => Promise<Reply>,
  shard: number,
  logger: Logger,
  signal: AbortSignal,
): Promise<Reply> {
  for (let tries = 0; ; tries++) {
    try {
      return await send();
    } catch (error) {
      if (!isRedisError(error) || signal.aborted) throw error;
      const waitMs = backoffMs(tries, REFUSED_MS.first, REFUSED_MS.most);
      logger.warn(
        { err: error, shard, wait_ms: waitMs },
        'Redis refused a step for the outbound side of a shard; trying again',
      );
      await pause(waitMs, signal);
    }
  }
}
