import { textIn, type Search } from '../search-values.js';

export interface EventsSearch {
  search?: string | undefined;
}

export function eventsSearch(search: Search): EventsSearch {
  return { search: textIn(search, 'search') };
}
