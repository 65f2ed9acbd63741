/** The states and types of connections, and the reasons for being offline. */

export const CONNECTION_STATES = ['online', 'offline'] as const;
export type ConnectionState = (typeof CONNECTION_STATES)[number];

export const CONNECTION_TYPES = ['host', 'proxy'] as const;
export type ConnectionType = (typeof CONNECTION_TYPES)[number];

/**
 * Why a connection is offline.
 *
 * - `goodbye`: the client sent a non-retained `offline`.
 * - `retained-offline`: a retained `offline` replaced the handshake: the last will, or a goodbye that was sent as retained.
 * - `handshake-removed`: the retained handshake was removed.
 * - `invalid-handshake`: the retained message is not a valid handshake.
 * - `refused`: the handshake arrived during the refusal window of a force-disconnect.
 * - `unknown`: the retained message says nothing about the state.
 * - `unconfirmed`: the broker restarted, and no new handshake arrived within `RECONFIRM_WINDOW`.
 */
export const OFFLINE_REASONS = [
  ...(['goodbye', 'retained-offline', 'handshake-removed', 'invalid-handshake'] as const),
  ...(['refused', 'unknown', 'unconfirmed'] as const),
] as const;
export type OfflineReason = (typeof OFFLINE_REASONS)[number];
