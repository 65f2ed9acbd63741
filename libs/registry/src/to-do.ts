/**
 * What a transition makes the shard's owner do. Written by the commit of the transition and removed when done, so
 * that no effect dies with its owner. Every to-do is safe to do twice; the same to-do has the same text.
 */
import type { OutboundBody } from '@app/protocol';

export type ToDo =
  /** Wake a dispatcher for the shard; stays as long as a connection waits for one, or for its next try. */
  { do: 'wake' } | ConnectionToDo;

export type ConnectionToDo =
  /** Answer a client on its `out` topic. */
  | { do: 'answer'; client_id: string; answer: OutboundBody; message_id: string }
  /** The client reported that a message failed. */
  | { do: 'message-error'; client_id: string; in_response_to: string; details: string }
  /** Remove the retained message from a status topic the client has left. */
  | { do: 'clear-retained'; client_id: string; status_topic: string }
  /** Read what the broker retains for the client; stays until the result has been applied. */
  | { do: 'verify'; client_id: string }
  /**
   * Have the client verified whose goodbye the broker has not confirmed: its handshake may still be retained. Or that
   * sent more than its share: what was not stored may be retained.
   */
  | { do: 'confirm'; client_id: string; after?: 'flood' }
  /** Find out whose the connection is; stays until that is known. */
  | { do: 'account'; client_id: string }
  /** Tell subscribers what was held back while the client flapped; stays until it has been told. */
  | { do: 'tell'; client_id: string }
  /** Forget a connection that has been offline for `CONNECTION_RETENTION`. */
  | { do: 'forget'; client_id: string };

/** A to-do and the time it is written down with, epoch milliseconds: written anew, it has another. */
export interface DueToDo {
  todo: ToDo;
  due: number;
}

export function encodeToDo(todo: ToDo): string {
  return JSON.stringify(todo);
}

export function decodeToDo(text: string): ToDo {
  return JSON.parse(text) as ToDo;
}

/** As the scripts write it. */
export const WAKE_TODO = encodeToDo({ do: 'wake' });

/** A wake-up that was due and is still not drained after this is repeated: it may have been lost. */
export const WAKE_AGAIN_MS = 10_000;
/** Other to-dos are done right after the commit; one still there after this has lost its owner. */
export const TODO_GRACE_MS = 5_000;
