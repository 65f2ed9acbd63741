import type { MessageStatus } from '@cloud-connector/client';
import { MESSAGE_STATUSES } from '../../ui/status.js';
import { oneOf, textIn, type Search } from '../search-values.js';

/** The filters, as they stand in the address. */
export interface MessagesSearch {
  status?: MessageStatus | undefined;
  client?: string | undefined;
  /** Only messages that were created since then, RFC 3339. */
  since?: string | undefined;
}

export function messagesSearch(search: Search): MessagesSearch {
  return {
    status: oneOf(search, 'status', MESSAGE_STATUSES),
    client: textIn(search, 'client'),
    since: textIn(search, 'since'),
  };
}
