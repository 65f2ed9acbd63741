/** Prevents that a message accepted for one account is published to a client of another account. */
import { messageCommands } from '../commands.js';
import type { MessageKeys } from '../keys.js';

/** Details of a message that failed because its client has moved to another account. */
export const ACCOUNT_MOVED = 'the client belongs to another account now';

/** Fails the messages of an outbox that were accepted for another account than the client's, some at a time. */
export const failMoved = messageCommands.load<
  MessageKeys,
  { client: string; from: number },
  [failed: number, next: number]
>('fail-moved');
