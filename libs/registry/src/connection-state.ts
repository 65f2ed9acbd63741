/** In which states a connection may be, of which types there are, and why one is offline. */

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
  | 'unknown'
  /** It did not shake hands again after the broker's restart, within `RECONFIRM_WINDOW`. */
  | 'unconfirmed';
