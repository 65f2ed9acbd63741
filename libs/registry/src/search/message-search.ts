/** Lists messages across connections, a page at a time. */
import type { Redis } from '@app/platform';
import type { ConnectionDirectory } from '../connections/connection-directory.js';
import type { RegistryKeys } from '../keys.js';
import { walkAccount, type AccountWalkPosition } from './account-walk.js';
import { MessagePage, type MessageFilter } from './message-page.js';
import { walk, type WalkPosition } from './message-walk.js';
import type { StoredMessage } from '../messages/stored-messages.js';

export type SearchPosition = { walk: WalkPosition } | { account: AccountWalkPosition };

export interface FoundMessages {
  messages: StoredMessage[];
  /** How many messages, lists and connections it has looked at. */
  lookedAt: number;
  /** Absent on the last page. */
  next?: SearchPosition;
}

export class MessageSearch {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly directory: ConnectionDirectory,
  ) {}

  /** A page of at most `limit` messages; it may have fewer, also none, and still have a next one. */
  async page(filter: MessageFilter, limit: number, from?: SearchPosition): Promise<FoundMessages> {
    const { redis, keys, directory } = this;
    const { account } = filter;
    if (account !== undefined) {
      const page = new MessagePage<AccountWalkPosition>(redis, keys, filter, limit);
      const start = from !== undefined && 'account' in from ? from.account : undefined;
      const next = await walkAccount(redis, keys, directory, page, { ...filter, account }, start);
      return { messages: page.messages, lookedAt: page.lookedAt, ...(next && { next: { account: next } }) };
    }
    const page = new MessagePage<WalkPosition>(redis, keys, filter, limit);
    const start = from !== undefined && 'walk' in from ? from.walk : undefined;
    const next = await walk(redis, keys, directory.shardCount, page, filter.status, start);
    return { messages: page.messages, lookedAt: page.lookedAt, ...(next && { next: { walk: next } }) };
  }
}
