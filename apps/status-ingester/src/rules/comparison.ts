/** Compares a message that a sweep read with the registry. Pure. */
import { isReservedClientId } from '@app/protocol';
import type { Connection, Retained } from '@app/registry';
import { agrees, isNewElsewhere } from './retained-reading.js';
import { truth } from './truth.js';

/**
 * @returns undefined if the registry agrees, or if the client has left the message behind on another topic;
 * `dead-letter` if it only has to become a dead letter and no connection can remember its digest
 */
export function differs(
  connection: Connection | undefined,
  found: Retained & { clientId?: string },
  at: number,
  lanes: number,
): 'state' | 'dead-letter' | undefined {
  if (found.clientId !== undefined && isReservedClientId(found.clientId))
    return connection === undefined ? 'dead-letter' : 'state';
  if (connection === undefined) {
    if (agrees(undefined, found, at, lanes)) return undefined;
    return found.refused === undefined && truth(found.body, null, at).state === 'online' ? 'state' : 'dead-letter';
  }
  if (found.topic === connection.status_topic) return agrees(connection, found, at, lanes) ? undefined : 'state';
  return isNewElsewhere(connection, found, at) ? 'state' : undefined;
}
