/** Counts and logs what became of what clients reported about messages. */
import { counter, valuesOf, type Logger } from '@app/platform';
import { isUnmatched, type Answer, type MessageReport, type ReportOutcome } from '@app/registry';
import { droppedRefusals, type RefusalLimits } from './refusal-limits.js';

const TYPES = valuesOf<Answer['type'] | 'message-progress'>({
  'message-response': true,
  'message-error': true,
  'message-progress': true,
});
const OUTCOMES = valuesOf<Exclude<ReportOutcome, 'noted'>>({
  answered: true,
  failed: true,
  late: true,
  kept: true,
  repeated: true,
  'already-final': true,
  unknown: true,
  foreign: true,
  'not-published': true,
});
const reports = counter(
  'client_reports',
  'message-response, message-error and message-progress messages of clients, by outcome.',
  { type: TYPES, outcome: OUTCOMES },
);

/** Call it when the reports have been committed. */
export function noteReports(
  applied: readonly MessageReport[],
  outcomes: readonly ReportOutcome[],
  shard: number,
  limits: RefusalLimits,
  logger: Logger,
): void {
  for (const [i, report] of applied.entries()) {
    const outcome = outcomes[i];
    if (outcome === undefined) continue;
    if (report.kind === 'answer') {
      if (report.mayEmit && isUnmatched(outcome)) limits.takeEvent(report.clientId, report.at);
      noteAnswer(report, outcome, shard, logger);
    } else if (report.kind === 'progress') {
      reports.inc({ type: 'message-progress', outcome });
    }
  }
}

/** @param mayEmit whether an event was to be emitted if it matched no message */
export function noteAnswer(
  { clientId, answer, mayEmit }: { clientId: string; answer: Answer; mayEmit: boolean },
  outcome: ReportOutcome,
  shard: number,
  logger: Logger,
): void {
  const { type, inResponseTo: message_id } = answer;
  reports.inc({ type, outcome });
  if (isUnmatched(outcome) && !mayEmit) {
    droppedRefusals.inc({ what: 'event' });
    return;
  }
  const details = type === 'message-error' ? { details: answer.details } : {};
  logger.info({ client_id: clientId, message_id, shard, outcome, ...details }, `${type} received from a client`);
}
