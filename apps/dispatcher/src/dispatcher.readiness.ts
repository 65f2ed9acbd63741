/**
 * A dispatcher is ready if Redis answers, the broker has what it needs and acknowledges publishes, and the worker takes
 * wake-ups.
 */
import type { BrokerGate, Publisher } from '@app/broker';
import { redisCheck, type ReadinessCheck, type Redis } from '@app/platform';
import type { Dispatcher } from './outbound/dispatcher.js';

export function dispatcherReadiness(
  redis: Redis,
  gate: BrokerGate,
  publisher: Publisher,
  dispatcher: Dispatcher,
): ReadinessCheck[] {
  return [
    redisCheck(redis),
    {
      name: 'broker',
      check: () => {
        if (gate.problem !== undefined) return Promise.resolve({ down: gate.problem });
        if (!publisher.connected) return Promise.resolve({ down: 'not connected' });
        return Promise.resolve(publisher.stalled ? { down: 'acknowledges no publish' } : 'up');
      },
    },
    {
      name: 'worker',
      check: () => Promise.resolve(dispatcher.running ? 'up' : { down: 'takes no wake-ups' }),
    },
  ];
}
