/** Brokers that serve the filters of a SUBSCRIBE in an order of their own. */
import type { Random } from '../random.js';
import type { Behaviour, Delivery, Step } from './behaviour.js';
import { hasWildcard } from './filters.js';

/** How long FlashMQ and HiveMQ have been seen to pause in the middle of a large read. */
const GAP_MS = 300;

/** The retained messages of a SUBSCRIBE come in reverse order, so a sentinel in the same SUBSCRIBE comes first. */
export const reversedOrder: Behaviour = () => ({
  onRead: (delivery) => ({ ...delivery, steps: delivery.steps.toReversed() }),
});

/**
 * Retained messages come in reverse order, so a sentinel in the same SUBSCRIBE comes first. What matches a wildcard comes
 * even after the retained messages of the next SUBSCRIBE.
 */
export const sentinelFirst: Behaviour = () => ({
  onRead: (delivery) => {
    const reversed = delivery.steps.toReversed();
    return delivery.filters.some(hasWildcard)
      ? held(delivery, [], [GAP_MS, ...reversed])
      : { ...delivery, steps: reversed };
  },
});

/**
 * The sentinel comes first even if it has a SUBSCRIBE of its own: of two SUBSCRIBEs, the retained messages of the first come
 * after those of the second. No read of this broker proves an absence.
 */
export const sentinelAlwaysFirst: Behaviour = () => ({
  onRead: (delivery) => (delivery.isAwaited ? delivery : held(delivery, [], [GAP_MS, ...delivery.steps])),
});

/**
 * Retained messages come in random order, the sentinel among them. Of those that match a wildcard, a random part comes after
 * the retained messages of the next SUBSCRIBE.
 */
export function randomOrder(random: Random): Behaviour {
  return () => ({
    onRead: (delivery) => {
      const shuffled = random.shuffled(delivery.steps);
      if (!delivery.filters.some(hasWildcard)) return { ...delivery, steps: shuffled };
      const early = random.below(shuffled.length + 1);
      return held(delivery, shuffled.slice(0, early), [GAP_MS, ...shuffled.slice(early)]);
    },
  });
}

/** A SUBSCRIBE that brings no retained message delays nothing. */
function held(delivery: Delivery, steps: readonly Step[], afterNext: readonly Step[]): Delivery {
  return delivery.steps.length === 0
    ? delivery
    : { ...delivery, steps, afterNext: [...delivery.afterNext, ...afterNext] };
}
