import type { ConnectionsQuery } from '@cloud-connector/client';
import { OFFLINE_REASONS, type OfflineReason } from '../offline-reasons.js';
import { flagIn, oneOf, textIn, type Search } from '../search-values.js';

/** What to search by: the beginning of the client id, or a whole fact. */
export const SEARCH_WORDS = {
  client_id_prefix: 'Client id begins with',
  fqdn: 'fqdn is',
  ip_address: 'IP address is',
  mac_address: 'MAC address is',
  insights_id: 'insights_id is',
  machine_id: 'machine_id is',
  bios_uuid: 'bios_uuid is',
  subscription_manager_id: 'subscription_manager_id is',
} as const satisfies Partial<Record<keyof ConnectionsQuery, string>>;
export type Searchable = keyof typeof SEARCH_WORDS;
const SEARCHABLE = Object.keys(SEARCH_WORDS) as Searchable[];

export const STATES = ['online', 'offline'] as const;
export const TYPES = ['host', 'proxy'] as const;
/** The filters, as they stand in the address. */
export interface ConnectionsSearch {
  by?: Searchable | undefined;
  text?: string | undefined;
  state?: (typeof STATES)[number] | undefined;
  type?: (typeof TYPES)[number] | undefined;
  reason?: OfflineReason | undefined;
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
