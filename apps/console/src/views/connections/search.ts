import type { ConnectionsQuery } from '@cloud-connector/client';
import { flagIn, oneOf, textIn, type Search } from '../search-values.js';

/** What to search by: the beginning of the client id, or a whole fact. */
export const SEARCHABLE = [
  'client_id_prefix',
  'fqdn',
  'ip_address',
  'mac_address',
  'insights_id',
  'machine_id',
  'bios_uuid',
  'subscription_manager_id',
] as const;
export type Searchable = (typeof SEARCHABLE)[number];

export const STATES = ['online', 'offline'] as const;
export const TYPES = ['host', 'proxy'] as const;
export const OFFLINE_REASONS = [
  'goodbye',
  'retained-offline',
  'handshake-removed',
  'invalid-handshake',
  'refused',
  'unknown',
  'unconfirmed',
] as const;

/** The filters, as they stand in the address. */
export interface ConnectionsSearch {
  by?: Searchable | undefined;
  text?: string | undefined;
  state?: (typeof STATES)[number] | undefined;
  type?: (typeof TYPES)[number] | undefined;
  reason?: (typeof OFFLINE_REASONS)[number] | undefined;
  refused?: true | undefined;
  held?: true | undefined;
}

export function connectionsSearch(search: Search): ConnectionsSearch {
  return {
    by: oneOf(search, 'by', SEARCHABLE),
    text: textIn(search, 'text'),
    state: oneOf(search, 'state', STATES),
    type: oneOf(search, 'type', TYPES),
    reason: oneOf(search, 'reason', OFFLINE_REASONS),
    refused: flagIn(search, 'refused'),
    held: flagIn(search, 'held'),
  };
}

/** The filters as the API takes them. */
export function toQuery({ by, text, state, type, reason, refused, held }: ConnectionsSearch): ConnectionsQuery {
  return {
    ...(text !== undefined && { [by ?? 'client_id_prefix']: text }),
    ...(state !== undefined && { state }),
    ...(type !== undefined && { type }),
    ...(reason !== undefined && { offline_reason: reason }),
    ...(refused === true && { refused: 'true' }),
    ...(held === true && { held: 'true' }),
  };
}
