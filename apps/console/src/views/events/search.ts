import type { EventType } from '@cloud-connector/client';
import { textIn, type Search } from '../search-values.js';

export const EVENT_TYPES = [
  'connection.online',
  'connection.offline',
  'connection.updated',
  'connection.refused',
  'message.status',
  'message.progress',
  'message.unmatched_error',
  'message.unmatched_response',
  'client.message',
  'shard.moved',
  'sweep.started',
  'sweep.ended',
  'member.joined',
  'member.left',
  'dead_letter.added',
] as const satisfies readonly EventType[];

/** The filters, as they stand in the address. */
export interface EventsSearch {
  /** Separated by commas; without it, all. */
  types?: string | undefined;
  client?: string | undefined;
}

export function eventsSearch(search: Search): EventsSearch {
  return { types: textIn(search, 'types'), client: textIn(search, 'client') };
}

/** The types that are named, or all. */
export function wantedTypes({ types }: EventsSearch): readonly EventType[] {
  const named = types?.split(',');
  const wanted = EVENT_TYPES.filter((type) => named?.includes(type));
  return wanted.length === 0 ? EVENT_TYPES : wanted;
}
