/** What the registry holds of a client. Written by the owner of its shard only. */
import type { CanonicalFacts, CatalogServiceFacts, RefusedUntil } from '@app/protocol';

export const CONNECTION_STATES = ['online', 'offline'] as const;
export type ConnectionState = (typeof CONNECTION_STATES)[number];

export const CONNECTION_TYPES = ['host', 'proxy'] as const;
export type ConnectionType = (typeof CONNECTION_TYPES)[number];

/** Why a connection is offline. */
export type OfflineReason =
  /** It said goodbye with a non-retained `offline`. */
  | 'goodbye'
  /** A retained `offline` replaced its handshake: its last will, or a goodbye in that form. */
  | 'retained-offline'
  /** Its retained handshake was removed. */
  | 'handshake-removed'
  /** What it retains is not a valid handshake. */
  | 'invalid-handshake'
  /** Its handshake came within the refusal window of a force-disconnect. */
  | 'refused'
  /** What it retains says nothing about its state. */
  | 'unknown';

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
}

// Facts are most of a connection's text and seldom change: each object is turned into text once.
const factsTexts = new WeakMap<Connection['facts'], string>();

/** The facts as JSON text; equal texts mean equal facts. */
export function factsText(facts: Connection['facts']): string {
  const known = factsTexts.get(facts);
  if (known !== undefined) return known;
  const text = JSON.stringify(facts);
  factsTexts.set(facts, text);
  return text;
}

/** A connection as it is stored. */
export function encodeConnection({ facts, ...rest }: Connection): string {
  return `{"facts":${factsText(facts)},${JSON.stringify(rest).slice(1)}`;
}
