/** Mailbox entries and stored records that cannot be read or applied: what is kept of them, and what is done instead. */
import { isRedisError } from '@app/platform';
import { clientIdProblem } from '@app/protocol';
import { mailboxEntryParts, type DeadLetter, type DueToDo } from '@app/registry';
import { PositionError, StaleOwnerError, storedAt, type MailboxEntry } from '@app/sharding';

export interface Poison {
  letter: DeadLetter & { at: number };
  /** It is what a read of the broker found. */
  isResult: boolean;
}

export function letterOf({ id, text }: MailboxEntry, problem: string): Poison {
  const { head, clientId, body } = mailboxEntryParts(text);
  const letter = {
    client_id: clientId,
    topic: '',
    reason: 'internal-error',
    details: `mailbox entry ${id} ${problem}`.slice(0, 1000),
    sample: body.slice(0, 1024),
    at: storedAt(id),
  };
  return { letter, isResult: head.startsWith('verified ') };
}

/** What the broker retains for the client says what it is; unless that is what cannot be applied. */
export function verifyToDos({ letter: { client_id, at }, isResult }: Poison): DueToDo[] {
  if (isResult || clientIdProblem(client_id) !== undefined) return [];
  return [{ todo: { do: 'verify', client_id }, due: at }];
}

/** Whether another try would fail the same way. */
export function isFaultOfContent(error: unknown): boolean {
  return !(error instanceof StaleOwnerError || error instanceof PositionError || isRedisError(error));
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
