/** Whether a Redis keeps what is stored, and knows what the scripts need. */
import { backoffMs } from './backoff.js';
import { mastersOf, type Redis } from './redis.js';

/** An operator set Redis up in a way that would lose or break what is stored. */
export class RedisRequirementError extends Error {
  override readonly name = 'UnfitRedisError';
}

/**
 * Refuses a Redis, or a cluster with a master, that may evict our keys or is too old for the scripts. Waits until all
 * masters have been asked. @throws UnfitRedisError
 */
export async function assertRedisRequirements(redis: Redis): Promise<void> {
  for (let tries = 0; ; tries++) {
    // Before the first answer the masters of a cluster are not known.
    await redis.ping();
    const masters = mastersOf(redis);
    const infos = await Promise.allSettled(masters.map((master) => master.info()));
    for (const info of infos) if (info.status === 'fulfilled') assertFit(info.value);
    if (infos.every(({ status }) => status === 'fulfilled')) return;
    await new Promise((resolve) => setTimeout(resolve, backoffMs(tries, 100, 2000)));
  }
}

function assertFit(info: string): void {
  const at = /^tcp_port:(\d+)/m.exec(info)?.[1] ?? '?';
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info);
  if (version !== null && Number(version[1]) < 7) {
    throw new RedisRequirementError(`Redis (port ${at}) is too old, ${version[0].slice(14)}: 7.0 or newer is needed`);
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    throw new RedisRequirementError(
      `Redis (port ${at}) has maxmemory-policy ${policy}, which may throw away stored messages: set it to noeviction`,
    );
  }
}
