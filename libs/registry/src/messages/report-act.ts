/** The acts of a commit that apply what clients report about messages; `report-acts.lua` does them. */
import type { RegistryEvent } from '../events/event.js';
import { truncateDetails } from '../message-status.js';
import type { AnswerFields, MessageProgress } from './message-record.js';
import { UNMATCHED_REASONS, type UnmatchedReason } from '../unmatched-reasons.js';
import type { Answer, MessageReport, Progress } from './message-report.js';

/**
 * What became of a report. `answered`, `failed`: the message has this status now. `late`: the message is final and keeps its
 * status, and shows the answer. `kept`: the progress is shown. `noted`: its history has a line more. The others changed nothing: the message has had the same answer
 * (`repeated`) or another one (`already-final`), is not stored in this shard (`unknown`), was for another client or account (`foreign`), or was never
 * claimed (`not-published`).
 */
export type ReportOutcome = 'answered' | 'failed' | 'late' | 'kept' | 'noted' | 'repeated' | UnmatchedReason;

export interface ReportAct {
  report: AnswerWords | ProgressWords | NoteWords;
}

/** As `report-acts.lua` reads them. */
export type AnswerWords = readonly [
  act: 'answer',
  clientId: string,
  messageId: string,
  status: 'answered' | 'failed',
  details: string,
  answerId: string,
  answer: string,
  size: number,
  payload: string,
  unmatched: string,
];
export type ProgressWords = readonly [
  act: 'progress',
  clientId: string,
  messageId: string,
  progress: string,
  event: string,
];
export type NoteWords = readonly [act: 'note', clientId: string, messageId: string, details: string];

/** Above the memory mark, the payload of an answer is kept only up to this size. */
export const SMALL_ANSWER_BYTES = 2048;

/** @param omitLarge the memory of Redis is above its mark: large payloads of answers are not kept */
export function reportAct(report: MessageReport, omitLarge: boolean): ReportAct {
  if (report.kind === 'progress') return { report: progressWords(report.clientId, report.progress, report.at) };
  if (report.kind === 'note') {
    const { inResponseTo, details } = report.note;
    return { report: ['note', report.clientId, inResponseTo, truncateDetails(details)] };
  }
  const { clientId, answer, at, mayEmit } = report;
  return { report: answerWords(clientId, answer, at, { mayEmit, omitLarge }) };
}

export function answerWords(
  clientId: string,
  answer: Answer,
  at: number,
  { mayEmit, omitLarge }: { mayEmit: boolean; omitLarge: boolean },
): AnswerWords {
  const isError = answer.type === 'message-error';
  const details = isError ? truncateDetails(answer.details) : '';
  const payload = isError ? JSON.stringify({ details }) : (answer.payloadJson ?? '');
  const size = Buffer.byteLength(payload);
  const isOmitted = omitLarge && size > SMALL_ANSWER_BYTES;
  const kept: AnswerFields = { received_at: at, size, ...(isOmitted && { omitted: 'storage-full' }) };
  return [
    'answer',
    clientId,
    answer.inResponseTo,
    isError ? 'failed' : 'answered',
    details,
    answer.messageId,
    JSON.stringify(kept),
    size,
    isOmitted ? '' : payload,
    mayEmit ? unmatchedEvent(clientId, answer, details) : '',
  ];
}

/** The event of an answer that matches no message. The command adds the reason to that of a response, and its end. */
function unmatchedEvent(client_id: string, answer: Answer, details: string): string {
  const { inResponseTo: in_response_to, messageId: message_id, type } = answer;
  if (type === 'message-error')
    return eventText({ type: 'message.unmatched_error', client_id, in_response_to, details });
  return JSON.stringify({ type: 'message.unmatched_response', client_id, in_response_to, message_id }).slice(0, -1);
}

function progressWords(client_id: string, { inResponseTo, percent, details }: Progress, at: number): ProgressWords {
  const reported = {
    ...(percent !== undefined && { percent }),
    ...(details !== undefined && { details: truncateDetails(details) }),
  };
  const kept: MessageProgress = { ...reported, at };
  const event = eventText({ type: 'message.progress', client_id, message_id: inResponseTo, ...reported });
  return ['progress', client_id, inResponseTo, JSON.stringify(kept), event];
}

function eventText(event: RegistryEvent): string {
  return JSON.stringify(event);
}

/** Whether an answer matched no message. */
export function isUnmatched(outcome: ReportOutcome): boolean {
  return UNMATCHED_REASONS.some((reason) => reason === outcome);
}
