import { textIn, type Search } from '../search-values.js';

export interface MessagesSearch {
  search?: string | undefined;
}

export function messagesSearch(search: Search): MessagesSearch {
  return { search: textIn(search, 'search') };
}
