/** The gateway is ready once the key space has been checked. It stays ready while Redis is away: its 503 tells callers what to do. */
import { redisOutage, type ReadinessCheck, type Redis } from '@app/platform';
import type { Availability } from './http/availability.js';

export function gatewayReadiness(redis: Redis, availability: Availability): ReadinessCheck[] {
  return [
    {
      name: 'redis',
      check: async () => {
        if (!availability.wasOpened) return { down: 'the key space has not been read yet' };
        const outage = await redisOutage(redis);
        return outage === undefined ? 'up' : { degraded: outage };
      },
    },
  ];
}
