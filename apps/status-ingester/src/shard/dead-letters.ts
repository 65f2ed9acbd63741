/** Dead letters of mailbox entries and stored records that cannot be read or applied, and the count of all dead letters. */
import { counter, isRedisError } from '@app/platform';
import { REFUSAL_REASONS, clientIdProblem } from '@app/protocol';
import { mailboxEntryParts, type DeadLetter, type DueToDo } from '@app/registry';
import { PositionError, StaleOwnerError, storedAt, type MailboxEntry } from '@app/sharding';

/** Counts those as well that are not stored, since their client has reached its limit. */
export const deadLettered = counter('dead_letters', 'Messages that could not be processed, by reason.', {
  reason: REFUSAL_REASONS,
});

/** The dead letter of something that this process could not read or apply. */
export interface Poison {
  letter: DeadLetter & { at: number };
  /** Whether it was a reading of retained messages. */
  isReading: boolean;
}

export function poisonOf({ id, text }: MailboxEntry, problem: string): Poison {
  const { head, clientId, body } = mailboxEntryParts(text);
  const letter = {
    client_id: clientId,
    topic: '',
    reason: 'internal-error' as const,
    details: `mailbox entry ${id} ${problem}`.slice(0, 1000),
    sample: body.slice(0, 1024),
    at: storedAt(id),
  };
  return { letter, isReading: head.startsWith('verified ') };
}

/** The to-do that verifies the client. None for a reading: what the broker retains is what could not be applied. */
export function verifyToDos({ letter: { client_id, at }, isReading }: Poison): DueToDo[] {
  if (isReading || clientIdProblem(client_id) !== undefined) return [];
  return [{ todo: { do: 'verify', client_id }, due: at }];
}

/** Whether the content of the entries is at fault, so that another try would fail the same way. */
export function isFaultOfContent(error: unknown): boolean {
  return !(error instanceof StaleOwnerError || error instanceof PositionError || isRedisError(error));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
