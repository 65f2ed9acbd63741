/** The registry's record of a client. Only the owner of the client's shard writes it. */
import type { CanonicalFacts, CatalogServiceFacts, RefusedUntil } from '@app/protocol';
import type { ConnectionState, ConnectionType, OfflineReason } from '../connection-state.js';
import type { RegistryEvent } from '../events/event.js';
import type { Answer, Progress } from '../messages/message-report.js';

export interface Connection {
  client_id: string;
  type: ConnectionType;
  state: ConnectionState;
  /** `canonical_facts` of a host or `catalog_service_facts` of a proxy, as received. */
  facts: CanonicalFacts | CatalogServiceFacts;
  handshake_message_id: string;
  /** Template of the status topic on which the last accepted handshake arrived. */
  status_topic: string;
  /** Epoch milliseconds of the Redis clock, like all times of this record. */
  connected_at: number;
  disconnected_at: number | null;
  offline_reason: OfflineReason | null;
  last_message_at: number;
  /** End of the refusal window that a force-disconnect opened. */
  refused_until: RefusedUntil | null;
  /** Id of a retained handshake that was refused in this window: it stays refused until the client sends it again. */
  refused_handshake: string | null;
  /** Id of a retained handshake that was not confirmed after a restart of the broker, until a live handshake arrives. */
  unconfirmed_handshake: string | null;
  /** Ids of retained handshakes that remained on other status topics, newest last: they are ignored. */
  superseded_handshakes: string[];
  /** Digest of the last dead-lettered retained message; null if the retained message is valid. */
  dead_letter_digest: string | null;
  /** When the last live handshake arrived; 0 if the handshake was only read as a retained message. */
  last_live_handshake_at: number;
  /** Lane of the last live message about the connection state; null if a verification has been applied since. */
  lane: number | null;
  /** When an event about a change of state was last emitted. */
  last_event_at: number | null;
  /** Coalesced changes of state without an event yet; null if there are none. */
  coalesced: CoalescedEvents | null;
  /** The account of the client; null if it is unknown or accounts are not in use. */
  account: string | null;
  /** Digests of the ids of the last 64 messages that had an effect and carry no state, of equal length, newest last. */
  applied_messages?: string;
  /** The last force-disconnect, until the client has reconnected: a newer one replaces it if it is not sent yet. */
  force_disconnect?: ForceDisconnected;
  /** Present while the account is being requested; `account` then has the last known account. */
  account_asked?: AccountLookup;
}

export interface ForceDisconnected {
  reconnect_after: string;
  at: number;
}

/** An event of a connection, or what its client reports about a message. `at`: when it was received, epoch milliseconds. */
export type WaitingEntry = { at: number } & ({ event: RegistryEvent } | { answer: Answer } | { progress: Progress });

/** A pending request for the account of a client. */
export interface AccountLookup {
  /** What waits for the account, oldest first. */
  waiting: readonly WaitingEntry[];
  /** Bytes of what waits. */
  bytes: number;
  /** Events were emitted without an account, since it did not become known in time. */
  is_late: boolean;
}

/** Changes of state of a flapping client, coalesced until it is stable. */
export interface CoalescedEvents {
  since: number;
  due: number;
  /** Number of changes of state since then. */
  changes: number;
  /** The state in the last emitted event. */
  emitted_state: ConnectionState;
}

/** Whether two JSON values are equal; the order of members does not matter. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return names.every((name) => Object.hasOwn(right, name) && sameJson(left[name], right[name]));
}
