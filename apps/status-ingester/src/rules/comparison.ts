/** Compares a retained message that a sweep read with the registry. Pure. */
import { isReservedClientId } from '@app/protocol';
import type { Connection, Retained } from '@app/registry';
import { agrees, isNewElsewhere } from './retained-reading.js';
import { truth } from './truth.js';

/**
 * @returns undefined if the registry agrees, or if the client left the message on a topic that it no longer uses;
 * `dead-letter` if the message only has to become a dead letter, and there is no connection to record its digest
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
    return found.refused === undefined && truth(found.body, undefined, at).state === 'online' ? 'state' : 'dead-letter';
  }
  if (found.topic === connection.status_topic) return agrees(connection, found, at, lanes) ? undefined : 'state';
  return isNewElsewhere(connection, found, at) ? 'state' : undefined;
}
