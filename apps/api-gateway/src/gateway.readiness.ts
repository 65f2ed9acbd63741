/** The gateway is ready once the key space has been checked. It stays ready while Redis is away: its 503 tells callers what to do. */
import { redisOutage, type Logger, type ReadinessCheck, type Redis } from '@app/platform';
import { keySpaceCheck, type KeySpaceOpening } from '@app/registry';
import type { Availability } from './http/availability.js';

/** Anybody may read it, so it names neither address nor cause, unlike those of the other apps. */
const REDIS_AWAY = 'Redis cannot be reached, or refuses: the log of the gateway names address and cause';

export function gatewayReadiness(
  redis: Redis,
  opening: KeySpaceOpening,
  availability: Availability,
  logger: Logger,
): ReadinessCheck[] {
  let known: string | undefined;
  return [
    {
      name: 'redis',
      check: async () => {
        const outage = await redisOutage(redis);
        if (outage !== undefined && outage !== known) logger.warn({ outage }, 'Redis is not ready');
        known = outage;
        if (outage === undefined) return 'up';
        return availability.wasOpened ? { degraded: REDIS_AWAY } : { down: REDIS_AWAY };
      },
    },
    keySpaceCheck(opening),
    {
      name: 'api',
      check: () => Promise.resolve(availability.wasOpened ? 'up' : { down: 'not open yet' }),
    },
  ];
}
