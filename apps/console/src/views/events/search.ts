import type { EventType } from '@cloud-connector/client';
import { EVENT_TYPES } from '../../api/event-types.js';
import { textIn, type Search } from '../search-values.js';

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
