import type { Connection } from '@cloud-connector/client';

export type OfflineReason = NonNullable<Connection['offline_reason']>;

/** Why a client is offline, in words, and what to do. */
export const REASONS: Record<OfflineReason, string> = {
  goodbye: 'It disconnected, or it lost its network and the broker published its last will.',
  'retained-offline': 'The broker retains that it is offline; when it went was not seen.',
  'handshake-removed': 'Its retained handshake was removed from the broker.',
  'invalid-handshake': 'Its last handshake is not valid; the dead letters say why.',
  refused: 'It was forced off, and its handshakes are refused for now.',
  unknown: 'A sweep found no handshake of it at the broker.',
  unconfirmed: 'It was online before the broker lost its data, and has not shaken hands since.',
};

export const OFFLINE_REASONS = Object.keys(REASONS) as readonly OfflineReason[];
