/** Whether a message may go to a client, given whose both are; shared by the scripts that publish and that tidy up. */
import { commands } from '../commands.js';
import type { MessageKeys } from '../keys.js';

/** Details of a message that was accepted for one account while its client belongs to another one now. */
export const ACCOUNT_MOVED = 'the client belongs to another account now';

/** Fails what an outbox holds for another account than the client's, a part at a time. */
export const failMoved = commands.load<MessageKeys, { client: string; from: number }, [failed: number, next: number]>(
  'fail-moved',
);
