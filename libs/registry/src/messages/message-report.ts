/** What a client reports about a message that was sent to it: its answer, or its progress. */

/** It makes the message final. JSON and details are texts, because the command that stores them does not read them. */
export type Answer = {
  /** The id of the message. */
  inResponseTo: string;
  /** The id of the answer itself: a repeat has the same one. */
  messageId: string;
} & ({ type: 'message-response'; payloadJson?: string } | { type: 'message-error'; details: string });

/** The client still works on the message. It has at least one of `percent` and `details`. */
export interface Progress {
  inResponseTo: string;
  messageId: string;
  /** 0 to 100 */
  percent?: number;
  details?: string;
}

/** An answer to the message did not count. */
export interface Note {
  inResponseTo: string;
  /** Why. */
  details: string;
}

export type MessageReport = {
  clientId: string;
  /** When it was received, epoch milliseconds. */
  at: number;
  /** How many events of the batch come before it. */
  eventsBefore?: number;
} & (
  | {
      kind: 'answer';
      answer: Answer;
      /** Whether an event may be emitted if it matches no message. */
      mayEmit: boolean;
    }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'note'; note: Note }
);
