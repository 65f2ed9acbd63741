/**
 * What a transition makes the shard's owner do. Written by the commit of the transition and removed when done, so
 * that no effect dies with its owner. Every to-do is safe to do twice; the same to-do has the same text.
 */
import { ReplyBody, describeIssues } from '@app/protocol';
import { z } from 'zod';

const client_id = z.string();

const SCHEMAS = [
  /** Wake a dispatcher for the shard; stays as long as a connection waits for one, or for its next try. */
  z.object({ do: z.literal('wake') }),
  /** Answer a client on its `out` topic. */
  z.object({ do: z.literal('reply'), client_id, reply: ReplyBody, message_id: z.string() }),
  /** Answer the client's newest refused handshake, which waits in `Refusals`. */
  z.object({ do: z.literal('refuse'), client_id }),
  /** The client reported that a message failed. */
  z.object({ do: z.literal('message-error'), client_id, in_response_to: z.string(), details: z.string() }),
  /** Remove the retained message from a status topic the client has left. */
  z.object({ do: z.literal('clear-retained'), client_id, status_topic: z.string() }),
  /** Read what the broker retains for the client; stays until the result has been applied. */
  z.object({ do: z.literal('verify'), client_id }),
  /**
   * Have the client verified whose goodbye the broker has not confirmed: its handshake may still be retained. Or that
   * sent more than its share: what was not stored may be retained.
   */
  z.object({ do: z.literal('confirm'), client_id, after: z.literal('throttled').optional() }),
  /** Find out whose the connection is; stays until that is known. */
  z.object({ do: z.literal('account'), client_id }),
  /** Emit the events that wait for that answer without an account; stays until they have been emitted. */
  z.object({ do: z.literal('emit-waiting'), client_id }),
  /** Fail what the outbox holds for another account than the client's. */
  z.object({ do: z.literal('fail-moved'), client_id }),
  /** Publish the changes that were coalesced while the client flapped; stays until they are published. */
  z.object({ do: z.literal('flush'), client_id }),
  /** Forget a connection that has been offline for `CONNECTION_RETENTION`. */
  z.object({ do: z.literal('forget'), client_id }),
] as const;

const ToDoSchema = z.discriminatedUnion('do', SCHEMAS);

export type ToDo = z.infer<typeof ToDoSchema>;
export const TO_DO_KINDS: readonly ToDo['do'][] = SCHEMAS.map(({ shape }) => shape.do.value);
export type ConnectionToDo = Exclude<ToDo, { do: 'wake' }>;

/** A to-do and the time it is stored with, epoch milliseconds. Writing it again changes the time. */
export interface DueToDo {
  todo: ToDo;
  due: number;
}

export function encodeToDo(todo: ToDo): string {
  return JSON.stringify(todo);
}

/** @throws Error that says what is wrong, for a text that this release did not write. */
export function decodeToDo(text: string): ToDo {
  const value: unknown = JSON.parse(text);
  const checked = ToDoSchema.safeParse(value);
  if (!checked.success) throw new Error(describeIssues(checked.error.issues));
  // As it was written: the text that is removed when it is done is made of it.
  return value as ToDo;
}

/** Other to-dos are done right after the commit; one still there after this has lost its owner. */
export const TODO_GRACE_MS = 5_000;
