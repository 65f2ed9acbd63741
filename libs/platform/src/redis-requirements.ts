/** Whether a Redis is new enough for the scripts, and never evicts stored data. */
import { backoffMs } from './backoff.js';
import { pause } from './pause.js';
import { RedisCredentialsError } from './redis-error.js';
import { mastersOf, type Redis } from './redis.js';
import { RequirementError } from './requirement-error.js';

/**
 * Checks the credentials, and the version and the eviction policy of every master. Retries until all masters have replied.
 * @throws RequirementError
 */
export async function assertRedisRequirements(redis: Redis): Promise<void> {
  for (let tries = 0; ; tries++) {
    // The masters of a cluster are known only after the first reply.
    await redis.ping().catch(nameRefusedCredentials);
    const masters = mastersOf(redis);
    const infos = await Promise.allSettled(masters.map((master) => master.info()));
    for (const info of infos) if (info.status === 'fulfilled') check(info.value);
    if (infos.every(({ status }) => status === 'fulfilled')) return;
    await pause(backoffMs(tries, 100, 2000));
  }
}

/** A Redis Cluster, or a Sentinel, that refuses them reports it in the readiness only. @throws RequirementError, or the error */
function nameRefusedCredentials(error: Error): never {
  if (!(error instanceof RedisCredentialsError)) throw error;
  throw new RequirementError(`Redis refuses the user or the password in REDIS_URL: ${error.message}`, { cause: error });
}

/** @throws RequirementError */
function check(info: string): void {
  const port = /^tcp_port:(\d+)/m.exec(info)?.[1] ?? '?';
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info);
  if (version !== null && Number(version[1]) < 7) {
    throw new RequirementError(`Redis (port ${port}) is too old, ${version[0].slice(14)}: 7.0 or newer is needed`);
  }
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy !== undefined && policy !== 'noeviction') {
    throw new RequirementError(
      `Redis (port ${port}) has maxmemory-policy ${policy}, which may evict stored messages: set it to noeviction`,
    );
  }
}
