import type { Connection } from '@cloud-connector/client';

export type OfflineReason = NonNullable<Connection['offline_reason']>;

/** Why a client is offline, in words, and what to do. */
export const REASONS: Record<OfflineReason, string> = {
  goodbye: 'It said goodbye: it disconnected, by itself or because it was forced off.',
  'retained-offline':
    'The broker published its last will: it lost its network, crashed or was stopped hard. Some clients say goodbye this way too.',
  'handshake-removed': 'Its retained handshake was removed from the broker.',
  'invalid-handshake': 'Its last handshake is not valid; the dead letters say why.',
  refused: 'It was forced off, and its handshakes are refused for now.',
  unknown: 'A sweep found no handshake of it at the broker.',
  unconfirmed: 'It was online before the broker lost its data, and has not shaken hands since.',
};

/** The same in two words, for lists. */
const SHORT: Record<OfflineReason, string> = {
  goodbye: 'said goodbye',
  'retained-offline': 'last will',
  'handshake-removed': 'handshake removed',
  'invalid-handshake': 'invalid handshake',
  refused: 'forced off',
  unknown: 'no handshake found',
  unconfirmed: 'not confirmed',
};

/** A newer service may know more reasons than this page. */
export function shortReason(reason: string): string {
  return (SHORT as Partial<Record<string, string>>)[reason] ?? reason;
}

export const OFFLINE_REASONS = Object.keys(REASONS) as readonly OfflineReason[];
