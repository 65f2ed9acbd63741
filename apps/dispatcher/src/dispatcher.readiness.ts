/**
 * A dispatcher is ready if Redis answers, the broker has what it needs and acknowledges publishes, and the worker takes
 * shards.
 */
import type { BrokerGate, Publisher } from '@app/broker';
import { redisCheck, type ReadinessCheck, type Redis } from '@app/platform';
import { keySpaceCheck, type KeySpaceOpening } from '@app/registry';
import type { Outbound } from './outbound/outbound.module.js';

export function dispatcherReadiness(
  redis: Redis,
  opening: KeySpaceOpening,
  gate: BrokerGate,
  publisher: Publisher,
  outbound: Pick<Outbound, 'running'>,
): ReadinessCheck[] {
  return [
    redisCheck(redis),
    keySpaceCheck(opening),
    {
      name: 'broker',
      check: () => {
        if (gate.problem !== undefined) return Promise.resolve({ down: gate.problem });
        if (publisher.problem !== undefined) return Promise.resolve({ down: publisher.problem });
        return Promise.resolve(publisher.stalled ? { down: 'acknowledges no publish' } : 'up');
      },
    },
    {
      name: 'worker',
      check: () => Promise.resolve(outbound.running ? 'up' : { down: 'takes no shards' }),
    },
  ];
}
