/** What may happen to the messages of a client, in any order: the steps of the property against `answers-model.ts`. */
import fc from 'fast-check';
import type { MessageReport } from '@app/registry';
import type { ModelReport, Publish } from './answers-model.js';
import { CLIENT, neighbour } from './message-bench.js';

/** A payload that has a key of its own. */
export const LARGE = JSON.stringify('x'.repeat(3000));
const STRANGER = neighbour('stranger');
const DETAILS = 'no disk';

export type Outcome = Publish['outcome'];

/** `message`: the number of a message among those for which the step is meant; 0 for the one of the step before. */
export type AnswerStep =
  | { do: 'accept'; hasTimeout: boolean; isLarge: boolean; hasKey: boolean; isRepeated: boolean }
  /** `count`: results at once; all but the last are `sent`. `isReplyLost`: the owner repeats the step. */
  | { do: 'step'; count: number; outcome: Outcome; isReplyLost: boolean }
  /** An owner completes what was completed already. */
  | { do: 'complete-again' | 'complete-as-former-owner'; claim: number; outcome: Outcome }
  | { do: 'take-over' | 'release' | 'end-back-off' | 'sweep' | 'forget' }
  | { do: 'pass-deadline' | 'end-time-to-live' | 'cancel'; message: number }
  | { do: 'report'; reports: Report[] };

export interface Report {
  message: number;
  isForeign: boolean;
  kind: ModelReport['kind'];
  /** 1 or 2 */
  answer: number;
  isLarge: boolean;
}

const message = fc.oneof(fc.constant(0), fc.nat(4));
const outcome = fc.constantFrom<Outcome>('sent', 'retry', 'no-subscribers');
const seldom = fc.nat(7).map((n) => n === 0);
const report: fc.Arbitrary<Report> = fc.record({
  message,
  isForeign: seldom,
  kind: fc.constantFrom('message-response', 'message-response', 'message-error', 'message-progress'),
  answer: fc.integer({ min: 1, max: 2 }),
  isLarge: seldom,
});

function one<const Do extends string>(...words: Do[]) {
  return fc.constantFrom(...words);
}

const single: fc.Arbitrary<AnswerStep> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: one('accept'),
      hasTimeout: fc.boolean(),
      isLarge: seldom,
      hasKey: seldom,
      isRepeated: seldom,
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({ do: one('step'), count: fc.integer({ min: 0, max: 3 }), outcome, isReplyLost: seldom }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: one('complete-again', 'complete-as-former-owner'), claim: fc.nat(4), outcome }),
  },
  { weight: 6, arbitrary: fc.record({ do: one('take-over', 'end-back-off') }) },
  { weight: 2, arbitrary: fc.record({ do: one('release', 'sweep') }) },
  { weight: 1, arbitrary: fc.record({ do: one('forget') }) },
  { weight: 6, arbitrary: fc.record({ do: one('pass-deadline', 'end-time-to-live', 'cancel'), message }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: one('report'), reports: fc.array(report, { minLength: 1, maxLength: 3 }) }),
  },
);

const acceptance: AnswerStep = { do: 'accept', hasTimeout: true, isLarge: false, hasKey: false, isRepeated: false };

/** A PUBACK that is lost, the end of the message, and what its client reports late. */
const late = fc
  .tuple(fc.constantFrom<Outcome>('retry', 'no-subscribers'), one('cancel', 'end-time-to-live'), report)
  .map(([outcome, end, last]): AnswerStep[] => [
    { do: 'step', count: 1, outcome, isReplyLost: false },
    { do: end, message: 0 },
    { do: 'sweep' },
    { do: 'report', reports: [{ ...last, message: 0 }] },
  ]);

/** A report about a message that is claimed ahead. */
const ahead = report.map((last): AnswerStep[] => [
  ...[acceptance, acceptance, acceptance],
  { do: 'step', count: 1, outcome: 'sent', isReplyLost: false },
  { do: 'report', reports: [{ ...last, message: 0 }] },
]);

/** A completion of the attempt before the last one. */
const outdated = fc
  .constantFrom<Outcome>('retry', 'no-subscribers')
  .map((outcome): AnswerStep[] => [
    acceptance,
    { do: 'take-over' },
    { do: 'take-over' },
    { do: 'complete-again', claim: 1, outcome },
  ]);

/** With a bias most runs would be short. */
export const answerSteps: fc.Arbitrary<AnswerStep[]> = fc.noBias(
  fc
    .array(
      fc.oneof(
        { weight: 8, arbitrary: single.map((step) => [step]) },
        { weight: 1, arbitrary: late },
        { weight: 1, arbitrary: ahead },
        { weight: 1, arbitrary: outdated },
      ),
      { minLength: 1, maxLength: 40, size: 'max' },
    )
    .map((plays) => plays.flat()),
);

/** What a client reports about a message, for the model and for the commit. */
export function reportsOf(
  { isForeign, kind, answer, isLarge }: Report,
  messageId: string,
): [ModelReport, MessageReport] {
  const from = { clientId: isForeign ? STRANGER : CLIENT, at: 1000 };
  const about = { messageId, isForeign };
  if (kind === 'message-progress') {
    const progress = { inResponseTo: messageId, messageId: 'p', percent: answer };
    return [
      { ...about, kind, percent: answer },
      { ...from, kind: 'progress', progress },
    ];
  }
  const answerId = `${kind}-${answer}`;
  const words = { inResponseTo: messageId, messageId: answerId };
  const response = isLarge ? LARGE : `${answer}`;
  const isError = kind === 'message-error';
  const payload = isError ? JSON.stringify({ details: DETAILS }) : response;
  const written = isError
    ? { ...words, type: kind, details: DETAILS }
    : { ...words, type: kind, payloadJson: response };
  return [
    { ...about, kind, answerId, payload },
    { ...from, kind: 'answer', answer: written, mayEmit: true },
  ];
}
