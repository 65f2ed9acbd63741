/** The gateway is ready once the key space has been checked. It stays ready while Redis is away: its 503 tells callers what to do. */
import { redisOutage, type ReadinessCheck, type Redis } from '@app/platform';
import { keySpaceCheck, type KeySpaceOpening } from '@app/registry';
import type { Availability } from './http/availability.js';

export function gatewayReadiness(redis: Redis, opening: KeySpaceOpening, availability: Availability): ReadinessCheck[] {
  return [
    {
      name: 'redis',
      check: async () => {
        const outage = await redisOutage(redis);
        if (outage === undefined) return 'up';
        return availability.wasOpened ? { degraded: outage } : { down: outage };
      },
    },
    keySpaceCheck(opening),
    {
      name: 'api',
      check: () => Promise.resolve(availability.wasOpened ? 'up' : { down: 'not open yet' }),
    },
  ];
}
