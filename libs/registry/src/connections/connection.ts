/** What the registry holds of a client. Written by the owner of its shard only. */
import type { CanonicalFacts, CatalogServiceFacts, RefusedUntil } from '@app/protocol';
import type { ConnectionState, ConnectionType, OfflineReason } from '../connection-state.js';
import type { RegistryEvent } from '../events/event.js';

export interface Connection {
  client_id: string;
  type: ConnectionType;
  state: ConnectionState;
  /** `canonical_facts` of a host, `catalog_service_facts` of a proxy, as they came. */
  facts: CanonicalFacts | CatalogServiceFacts;
  handshake_message_id: string;
  /** Template of the topic that carries its connection state: that of its last accepted handshake. */
  status_topic: string;
  /** Epoch milliseconds of the Redis clock, like the other times here. */
  connected_at: number;
  disconnected_at: number | null;
  offline_reason: OfflineReason | null;
  last_message_at: number;
  /** End of the refusal window a force-disconnect opened. */
  refused_until: RefusedUntil | null;
  /** Id of a retained handshake that was refused within that window: it stays refused until it is sent again. */
  refused_handshake: string | null;
  /** Id of a retained handshake that was not confirmed: it stays so until a handshake comes live. */
  unconfirmed_handshake: string | null;
  /** Ids of retained handshakes it left behind on other status topics, newest last: they count no more. */
  superseded_handshakes: string[];
  /** Digest of the last dead-lettered retained message; null if the retained message is valid. */
  dead_letter_digest: string | null;
  /** When the last live handshake arrived; 0 if the handshake was only read back as a retained message. */
  last_live_handshake_at: number;
  /** Lane of the last live message that carries state; null if a verification has been applied since. */
  lane: number | null;
  /** When a change of state was last published to subscribers. */
  last_event_at: number | null;
  /** Coalesced changes of state that are not published yet; null if there are none. */
  coalesced: CoalescedEvents | null;
  /** The account that owns it; null if unknown, or if accounts are not in use. */
  account: string | null;
  /** The last force-disconnect for it, until it has gone and come back: the next one takes its place if it still waits. */
  force_disconnect?: ForceDisconnected;
  /** Present while the account is being asked for; `account` is the last one that was known. */
  account_asked?: AccountQuestion;
}

export interface ForceDisconnected {
  reconnect_after: string;
  at: number;
}

/** A question that is open: whose a client is. */
export interface AccountQuestion {
  /** Events of the connection that wait for the answer, oldest first; `at` in epoch milliseconds. */
  waiting: readonly { at: number; event: RegistryEvent }[];
  /** Bytes of what waits. */
  bytes: number;
  /** Some were emitted without an account, since the answer did not come in time. */
  is_late: boolean;
}

/** Changes of a flapping client, coalesced until it is stable. */
export interface CoalescedEvents {
  since: number;
  due: number;
  /** Changes of state since then. */
  changes: number;
  /** The state that subscribers know. */
  emitted_state: ConnectionState;
}

// Facts are most of a connection's text and seldom change: each object is turned into text once.
const factsTexts = new WeakMap<Connection['facts'], string>();

/** A connection as it is stored. */
export function encodeConnection(connection: Connection): string {
  const { facts } = connection;
  let text = factsTexts.get(facts);
  if (text === undefined) factsTexts.set(facts, (text = JSON.stringify(facts)));
  // Written out, since copying "all but one" members costs more than encoding them.
  const rest: Omit<Connection, 'facts'> = {
    client_id: connection.client_id,
    type: connection.type,
    state: connection.state,
    handshake_message_id: connection.handshake_message_id,
    status_topic: connection.status_topic,
    connected_at: connection.connected_at,
    disconnected_at: connection.disconnected_at,
    offline_reason: connection.offline_reason,
    last_message_at: connection.last_message_at,
    refused_until: connection.refused_until,
    refused_handshake: connection.refused_handshake,
    unconfirmed_handshake: connection.unconfirmed_handshake,
    superseded_handshakes: connection.superseded_handshakes,
    dead_letter_digest: connection.dead_letter_digest,
    last_live_handshake_at: connection.last_live_handshake_at,
    lane: connection.lane,
    last_event_at: connection.last_event_at,
    coalesced: connection.coalesced,
    account: connection.account,
    ...(connection.force_disconnect && { force_disconnect: connection.force_disconnect }),
    ...(connection.account_asked && { account_asked: connection.account_asked }),
  };
  return `{"facts":${text},${JSON.stringify(rest).slice(1)}`;
}

/** @returns undefined for a text that is no connection */
export function decodeConnection(text: string): Connection | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isConnection = typeof value === 'object' && value !== null && !Array.isArray(value) && 'client_id' in value;
    return isConnection ? (value as Connection) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether two JSON values are equal; the order of members does not count. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return names.every((name) => Object.hasOwn(right, name) && sameJson(left[name], right[name]));
}
