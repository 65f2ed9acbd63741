/** Whether a message has ended. */
import type { Message } from './generated/types.gen.js';

export type MessageStatus = Message['status'];

/** Statuses after which the service does nothing more; a later answer of the client still turns `sent` into `answered` or `failed`. */
const FINAL: ReadonlySet<MessageStatus> = new Set(['sent', 'answered', 'failed', 'unanswered', 'expired', 'cancelled']);

/** Whether the service does nothing more with a message of this status; one that is `sent` may await an answer: `hasEnded`. */
export function isFinal(status: MessageStatus): boolean {
  return FINAL.has(status);
}

/** Whether the service does nothing more with a message. It still awaits the answer of one that is `sent` and has a deadline for it. */
export function hasEnded({ status, response_deadline: deadline }: Message): boolean {
  // Services without answers show no deadline.
  return isFinal(status) && !(status === 'sent' && (deadline ?? null) !== null);
}
