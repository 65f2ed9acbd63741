/** Connections as the registry stores them, for specs that write or return some. */
import type { BatchChanges, Connection } from '@app/registry';

/** A host that is online since its first handshake. */
export function hostConnection(clientId: string, more: Partial<Connection> = {}): Connection {
  return {
    client_id: clientId,
    type: 'host',
    state: 'online',
    facts: { machine_id: `machine of ${clientId}` },
    handshake_message_id: 'm1',
    status_topic: 'in/{clientId}',
    connected_at: 1000,
    disconnected_at: null,
    offline_reason: null,
    last_message_at: 1000,
    refused_until: null,
    refused_handshake: null,
    unconfirmed_handshake: null,
    superseded_handshakes: [],
    dead_letter_digest: null,
    last_live_handshake_at: 0,
    last_event_at: null,
    coalesced: null,
    account: null,
    lane: 0,
    ...more,
  };
}

/** The changes of a batch; those that are not named are empty. */
export function batchOf(changes: Partial<BatchChanges>): BatchChanges {
  return {
    connections: new Map(),
    events: [],
    deadLetters: [],
    todos: [],
    refused: [],
    withdrawn: [],
    cameOnline: [],
    swept: [],
    ...changes,
  };
}
