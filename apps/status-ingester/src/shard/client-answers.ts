/** Counts and logs what became of the answers of clients. */
import { counter, valuesOf, type Logger } from '@app/platform';
import { isUnmatched, type AnswerOutcome } from '@app/registry';
import { droppedRefusals } from './refusal-limits.js';

const OUTCOMES = valuesOf<AnswerOutcome>({
  failed: true,
  repeated: true,
  unknown: true,
  foreign: true,
  'not-published': true,
});
const clientErrors = counter('client_errors', 'message-error messages of clients, by outcome.', { outcome: OUTCOMES });

export interface AppliedAnswer {
  clientId: string;
  inResponseTo: string;
  details: string;
  /** Whether an event was to be emitted if it matched no message. */
  mayEmit: boolean;
}

/** Call it when the answer has been applied. */
export function noteAnswer(
  { clientId, inResponseTo, details, mayEmit }: AppliedAnswer,
  outcome: AnswerOutcome,
  shard: number,
  logger: Logger,
): void {
  clientErrors.inc({ outcome });
  if (isUnmatched(outcome) && !mayEmit) {
    droppedRefusals.inc({ what: 'event' });
    return;
  }
  const about = { client_id: clientId, message_id: inResponseTo, shard, outcome, details };
  logger.info(about, 'message-error received from a client');
}
