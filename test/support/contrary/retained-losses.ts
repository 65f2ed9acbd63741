/** Brokers that drop retained messages in the middle of a read, or pause there. */
import type { Random } from '../random.js';
import type { Behaviour, Delivery, Step } from './behaviour.js';
import { hasWildcard, matches } from './filters.js';

/** Loses the retained message of this topic in each of the next `times` reads that bring it: all reads if omitted. */
export function lostRetained(topic: string, times = Infinity): Behaviour {
  let left = times;
  return losing((message) => message.topic === topic && left-- > 0);
}

/** Loses the retained message of this topic in one of `every` reads that bring it. */
export function sometimesLostRetained(topic: string, every: number, random: Random): Behaviour {
  return losing((message) => message.topic === topic && random.below(every) === 0);
}

/** Loses all retained messages that match this filter in the first `reads` reads that bring one: they are readable late. */
export function unreadableAtFirst(filter: string, reads: number): Behaviour {
  let left = reads;
  return () => ({
    onRead: (delivery) => {
      const isHidden = (step: Step): boolean => typeof step !== 'number' && matches(filter, step.topic);
      if (left === 0 || !delivery.steps.some(isHidden)) return delivery;
      left--;
      return { ...delivery, steps: delivery.steps.filter((step) => !isHidden(step)) };
    },
  });
}

/** Of a read, delivers `limit` messages, and drops about one of `every` behind them, like a broker with a full queue. */
export function dropsInMidRead(limit: number, random: Random, every = 3): Behaviour {
  return losing((_, position) => position >= limit && random.below(every) === 0);
}

/** Of each read by a wildcard, drops the same messages. Reads of single topics bring them. */
export function sameDropped(topics: ReadonlySet<string>): Behaviour {
  return () => ({
    onRead: (delivery) =>
      delivery.filters.some(hasWildcard)
        ? { ...delivery, steps: delivery.steps.filter((step) => typeof step === 'number' || !topics.has(step.topic)) }
        : delivery,
  });
}

/** Pauses `times` times in the middle of each read that brings enough messages. */
export function pausesInMidRead(pauseMs: number, times: number): Behaviour {
  return () => ({
    onRead: (delivery) => {
      const part = Math.ceil(delivery.steps.length / (times + 1));
      if (part === 0) return delivery;
      const steps = delivery.steps.flatMap((step, i) => (i > 0 && i % part === 0 ? [pauseMs, step] : [step]));
      return { ...delivery, steps };
    },
  });
}

function losing(isLost: (message: Exclude<Step, number>, position: number) => boolean): Behaviour {
  const kept = (steps: readonly Step[]): readonly Step[] =>
    steps.filter((step, i) => typeof step === 'number' || !isLost(step, i));
  return () => ({
    onRead: (delivery: Delivery) => ({
      ...delivery,
      steps: kept(delivery.steps),
      afterNext: kept(delivery.afterNext),
    }),
  });
}
