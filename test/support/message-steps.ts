/** What may happen to the messages of a connection, for `World` of `message-world.ts`. */
import fc from 'fast-check';
import type { Answer, PublishResult } from '@app/registry';

export type Outcome = Exclude<PublishResult['outcome'], 'unwritten'>;

export type Step =
  | { do: 'accept'; which: number; short: boolean; key: boolean; owned: boolean; awaits: boolean }
  | { do: 'take over' }
  | { do: 'complete'; which: number; outcome: Outcome; late: boolean }
  | { do: 'complete what is held'; outcome: Outcome | 'unwritten'; stops: boolean }
  | { do: 'cancel'; which: number }
  | { do: 'client error'; which: number }
  /** `answer`: its id; a repeat has the same one. */
  | { do: 'respond'; which: number; type: Answer['type']; answer: number; large: boolean }
  | { do: 'report progress'; which: number; percent: number }
  | { do: 'expire' }
  | { do: 'pass the response deadlines' }
  | { do: 'become'; state: 'online' | 'offline' };

export const COUNT = 3;
export const RESPONSE_TIMEOUT_MS = 600_000;
const which = fc.nat(COUNT - 1);
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      which,
      short: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      key: fc.boolean(),
      // Whether a dispatcher owns the outbound side, so that the message may be claimed at once.
      owned: fc.boolean(),
      awaits: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take over' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('complete' as const),
      which,
      outcome: fc.constantFrom<Outcome>('sent', 'failed', 'no-subscribers', 'retry'),
      // Whether the message has been claimed again.
      late: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('complete what is held' as const),
      outcome: fc.oneof(
        { weight: 4, arbitrary: fc.constant('sent' as const) },
        {
          weight: 1,
          arbitrary: fc.constantFrom<Outcome | 'unwritten'>('failed', 'no-subscribers', 'retry', 'unwritten'),
        },
      ),
      // Whether the owner leaves the connection, although it holds further messages.
      stops: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('client error' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('respond' as const),
      which,
      type: fc.constantFrom<Answer['type']>('message-response', 'message-response', 'message-error'),
      answer: fc.nat(1),
      large: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('report progress' as const), which, percent: fc.nat(100) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass the response deadlines' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('become' as const), state: fc.constantFrom('online', 'offline') }),
  },
);
