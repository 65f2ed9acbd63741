/** The states and types of connections, and the reasons for being offline. */

export const CONNECTION_STATES = ['online', 'offline'] as const;
export type ConnectionState = (typeof CONNECTION_STATES)[number];

export const CONNECTION_TYPES = ['host', 'proxy'] as const;
export type ConnectionType = (typeof CONNECTION_TYPES)[number];

/** Why a connection is offline. */
export type OfflineReason =
  /** The client sent a non-retained `offline`. */
  | 'goodbye'
  /** A retained `offline` replaced the handshake: the last will, or a goodbye that was sent as retained. */
  | 'retained-offline'
  /** The retained handshake was removed. */
  | 'handshake-removed'
  /** The retained message is not a valid handshake. */
  | 'invalid-handshake'
  /** The handshake arrived during the refusal window of a force-disconnect. */
  | 'refused'
  /** The retained message says nothing about the state. */
  | 'unknown'
  /** The broker restarted, and no new handshake arrived within `RECONFIRM_WINDOW`. */
  | 'unconfirmed';
