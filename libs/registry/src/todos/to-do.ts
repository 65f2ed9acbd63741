/**
 * Work that a transition leaves for the shard's owner. The transition's commit writes the to-do, and it is removed when it
 * is done, so that the next owner continues if this one dies. Every to-do is safe to do twice; equal to-dos have the same
 * text.
 */
import { ReplyBody, describeIssues } from '@app/protocol';
import { z } from 'zod';

const client_id = z.string();

const SCHEMAS = [
  /** Tell the owner of the outbound side that a connection is ready, or activate it. Never stored, but by 0.1.0. */
  z.object({ do: z.literal('wake') }),
  /** Publish an answer on the client's `out` topic. */
  z.object({ do: z.literal('reply'), client_id, reply: ReplyBody, message_id: z.string() }),
  /** Answer the client's newest refused handshake; `Refusals` has it. */
  z.object({ do: z.literal('refuse'), client_id }),
  /** The client reported that a message failed. */
  z.object({ do: z.literal('message-error'), client_id, in_response_to: z.string(), details: z.string() }),
  /** Remove the retained message from a status topic that the client no longer uses. */
  z.object({ do: z.literal('clear-retained'), client_id, status_topic: z.string() }),
  /** Read the client's retained messages from the broker; stays until the result has been applied. */
  z.object({ do: z.literal('verify'), client_id }),
  /**
   * Request a verification of a client whose goodbye the broker has not confirmed, since its handshake may still be
   * retained; or, `after` throttling, of a client whose dropped messages may be retained.
   */
  z.object({ do: z.literal('confirm'), client_id, after: z.literal('throttled').optional() }),
  /** Request the account of the client; stays until it is known. */
  z.object({ do: z.literal('account'), client_id }),
  /** Emit the events that wait for the account without one; stays until they have been emitted. */
  z.object({ do: z.literal('emit-waiting'), client_id }),
  /** Fail the messages of the outbox that were accepted for another account than the client's. */
  z.object({ do: z.literal('fail-moved'), client_id }),
  /** Emit the event about the client's coalesced changes; stays until it has been emitted. */
  z.object({ do: z.literal('flush'), client_id }),
  /** Forget a connection that has been offline for `CONNECTION_RETENTION`. */
  z.object({ do: z.literal('forget'), client_id }),
] as const;

const ToDoSchema = z.discriminatedUnion('do', SCHEMAS);

export type ToDo = z.infer<typeof ToDoSchema>;
export const TO_DO_KINDS: readonly ToDo['do'][] = SCHEMAS.map(({ shape }) => shape.do.value);
export type ConnectionToDo = Exclude<ToDo, { do: 'wake' }>;

/** A to-do and its due time, epoch milliseconds. Writing the same to-do again changes the time. */
export interface DueToDo {
  todo: ToDo;
  due: number;
}

export function encodeToDo(todo: ToDo): string {
  return JSON.stringify(todo);
}

/** @throws Error that names the problem, if this release has not written the text */
export function decodeToDo(text: string): ToDo {
  const value: unknown = JSON.parse(text);
  const checked = ToDoSchema.safeParse(value);
  if (!checked.success) throw new Error(describeIssues(checked.error.issues));
  // Not the parsed copy: encoding the result must give the stored text, by which the to-do is removed.
  return value as ToDo;
}

/** Most to-dos are done right after their commit. If one is still stored after this time, its owner has lost the shard. */
export const TODO_GRACE_MS = 5_000;
