import { textIn, type Search } from '../search-values.js';

export interface ConnectionsSearch {
  search?: string | undefined;
}

export function connectionsSearch(search: Search): ConnectionsSearch {
  return { search: textIn(search, 'search') };
}
