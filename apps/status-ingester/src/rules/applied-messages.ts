/**
 * The ids of the last messages of a client that had an effect and carry no state, such as a `message-error`, or a message that
 * became a dead letter: a broker may deliver one again without DUP, under a new packet id, and it must not have its effect twice.
 * They are kept in the connection's record. Pure.
 */
import { createHash } from 'node:crypto';
import type { Connection } from '@app/registry';

/** Most ids that are kept for each client. */
export const MOST_APPLIED = 64;
/** Characters of a digest: 96 bits in base64url. An id may be any text, so that digests have one length and ids do not. */
const DIGEST_LENGTH = 16;

export function wasApplied(connection: Connection | undefined, messageId: string): boolean {
  const digests = connection?.applied_messages;
  if (digests === undefined) return false;
  const digest = digestOf(messageId);
  for (let from = 0; from < digests.length; from += DIGEST_LENGTH) {
    if (digests.startsWith(digest, from)) return true;
  }
  return false;
}

/** An unknown client has no record that could keep the id: its message has its effect each time. */
export function rememberApplied(connection: Connection | undefined, messageId: string): Connection | undefined {
  if (connection === undefined) return undefined;
  const digests = (connection.applied_messages ?? '') + digestOf(messageId);
  return { ...connection, applied_messages: digests.slice(-MOST_APPLIED * DIGEST_LENGTH) };
}

function digestOf(messageId: string): string {
  return createHash('sha256').update(messageId).digest('base64url').slice(0, DIGEST_LENGTH);
}
