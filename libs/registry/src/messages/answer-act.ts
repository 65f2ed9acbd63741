/** The act of a commit that applies a client's answer to the message that it is about. */
import { truncateDetails } from '../message-status.js';
import type { RegistryEvent } from '../events/event.js';

/** What became of an answer; only `failed` changed the message. */
export type AnswerOutcome = 'failed' | 'repeated' | 'unknown' | 'foreign' | 'not-published';

export interface AnswerAct {
  answer: {
    clientId: string;
    inResponseTo: string;
    details: string;
    /** The event to append if no message of the client matches; '' for none. */
    unmatched: string;
  };
}

/** @param mayEmit whether an event may be appended if no message of the client matches */
export function failingAct(clientId: string, inResponseTo: string, details: string, mayEmit: boolean): AnswerAct {
  const kept = truncateDetails(details);
  const event: RegistryEvent = {
    type: 'message.unmatched_error',
    client_id: clientId,
    in_response_to: inResponseTo,
    details: kept,
  };
  return { answer: { clientId, inResponseTo, details: kept, unmatched: mayEmit ? JSON.stringify(event) : '' } };
}

/** Whether the answer matched no message of the client. */
export function isUnmatched(outcome: AnswerOutcome): boolean {
  return outcome === 'unknown' || outcome === 'foreign';
}
