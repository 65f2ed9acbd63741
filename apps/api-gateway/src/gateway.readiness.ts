/** When the gateway is ready: once it has read the key space, also while Redis is away, so that callers get a 503 with advice. */
import { redisTrouble, type ReadinessCheck, type Redis } from '@app/platform';
import type { Availability } from './http/availability.js';

export function gatewayReadiness(redis: Redis, availability: Availability): ReadinessCheck[] {
  return [
    {
      name: 'redis',
      check: async () => {
        if (!availability.wasOpened) return { down: 'the key space has not been read yet' };
        const trouble = await redisTrouble(redis);
        return trouble === undefined ? 'up' : { degraded: trouble };
      },
    },
  ];
}
