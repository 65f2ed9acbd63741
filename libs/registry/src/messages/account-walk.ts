/**
 * A walk over the messages of the connections of one account, connection by connection, the newest message of each first. It looks at
 * the sets of the account and of its connections only, so it shows nothing of other accounts, not even by what it costs.
 */
import type { Redis } from '@app/platform';
import type { ConnectionDirectory } from '../connections/connection-directory.js';
import type { RegistryKeys } from '../keys.js';
import type { Candidate, MessageFilter, MessagePage } from './message-page.js';

/** After a message of a client or, with `before` 0, after the client. `before`: when it was accepted, epoch microseconds. */
export interface AccountWalkPosition {
  shard: number;
  client: string;
  before: number;
}

/** Connections that are read at a time, and messages of each. */
const CONNECTIONS = 100;
const MESSAGES = 10;
/** Messages of a connection that has more. */
const MORE_MESSAGES = 250;

/** Fills a page. @returns the position at which the next page begins; undefined if there is none */
export async function walkAccount(
  redis: Redis,
  keys: RegistryKeys,
  directory: ConnectionDirectory,
  page: MessagePage<AccountWalkPosition>,
  { account, status, since }: MessageFilter & { account: string },
  from: AccountWalkPosition = { shard: 0, client: '', before: 0 },
): Promise<AccountWalkPosition | undefined> {
  const oldest = since === undefined ? '-inf' : `${since * 1000}`;
  const filter = { account, ...(status === 'held' && { held: true as const }) };

  const read = async (
    shard: number,
    client: string,
    before: number,
    count: number,
  ): Promise<Candidate<AccountWalkPosition>[]> => {
    const newest = before === 0 ? '+inf' : `(${before}`;
    const key = keys.messages(shard, client);
    const found = await redis.zrevrangebyscore(key, newest, oldest, 'WITHSCORES', 'LIMIT', 0, count);
    return Array.from({ length: found.length / 2 }, (_, i) => ({
      id: found[2 * i] ?? '',
      position: { shard, client, before: Number(found[2 * i + 1]) },
    }));
  };
  /** Adds the messages of a connection to the page. `first`: those that have been read, all of them if fewer than `count`. */
  const addAll = async (
    shard: number,
    client: string,
    first: Candidate<AccountWalkPosition>[],
    count: number,
  ): Promise<boolean> => {
    for (let some = first, most = count; ; most = MORE_MESSAGES) {
      await page.add(shard, some);
      const last = some.at(-1)?.position;
      if (last !== undefined && page.position !== last) return false;
      if (last === undefined || some.length < most) break;
      if (page.isFull()) return false;
      some = await read(shard, client, last.before, MORE_MESSAGES);
    }
    page.position = { shard, client, before: 0 };
    return true;
  };

  let { shard, client: after } = from;
  page.position = from;
  if (from.before > 0) {
    const rest = await read(shard, after, from.before, MORE_MESSAGES);
    if (!(await addAll(shard, after, rest, MORE_MESSAGES))) return page.position;
  }
  for (; shard < directory.shardCount; shard++, after = '') {
    for (;;) {
      if (page.isFull()) return page.position;
      const clients = await directory.clientIds(shard, filter, after, Math.min(CONNECTIONS, page.left));
      const firsts = await Promise.all(clients.map((client) => read(shard, client, 0, MESSAGES)));
      for (const [i, client] of clients.entries()) {
        if (page.isFull()) return page.position;
        page.lookedAt++;
        if (!(await addAll(shard, client, firsts[i] ?? [], MESSAGES))) return page.position;
      }
      if (clients.length === 0) break;
      after = clients.at(-1) ?? '';
    }
  }
  return undefined;
}
