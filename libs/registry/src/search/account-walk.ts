/**
 * A walk over the messages of the connections of one account, connection by connection, the newest message of each first. It looks at
 * the sets of the account and of its connections only, so it shows nothing of other accounts, not even by what it costs.
 */
import type { Redis } from '@app/platform';
import type { ConnectionDirectory } from '../connections/connection-directory.js';
import { messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';
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

const messagesOfClients = messageCommands.load<
  MessageKeys,
  { count: number; oldest: string; clients: readonly string[] },
  string[][]
>('messages-of-clients');

type Found = Candidate<AccountWalkPosition>[];

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

  /** Adds what follows a message of a client. @returns whether all of it was added */
  const addRest = async (shard: number, client: string, before: number): Promise<boolean> => {
    for (let last = before; ;) {
      if (page.isFull()) return false;
      const key = keys.messages(shard, client);
      const flat = await redis.zrevrangebyscore(key, `(${last}`, oldest, 'WITHSCORES', 'LIMIT', 0, MORE_MESSAGES);
      const found = foundIn(flat, shard, client);
      await page.add(shard, found);
      const end = found.at(-1)?.position;
      if (end === undefined) return true;
      if (page.position !== end) return false;
      last = end.before;
    }
  };

  let { shard, client: after } = from;
  page.position = from;
  if (from.before > 0 && !(await addRest(shard, after, from.before))) return page.position;
  for (; shard < directory.shardCount; shard++, after = '') {
    for (;;) {
      page.position = { shard, client: after, before: 0 };
      if (page.isFull()) return page.position;
      const clients = await directory.clientIds(shard, filter, after, Math.min(CONNECTIONS, page.left));
      if (clients.length === 0) break;
      const args = { count: MESSAGES, oldest, clients };
      const lists = await messagesOfClients.run(redis, keys.ofMessages(shard), args);
      const all = lists.map((flat, i) => foundIn(flat, shard, clients[i] ?? ''));
      // The first client that may have more; those behind it are read again.
      const longest = all.findIndex(({ length }) => length === MESSAGES);
      const some = longest < 0 ? all : all.slice(0, longest + 1);
      page.lookedAt += some.length;
      const found = some.flat();
      await page.add(shard, found);
      const last = found.at(-1)?.position;
      if (last !== undefined && page.position !== last) return page.position;
      after = clients[some.length - 1] ?? '';
      if (longest >= 0 && last !== undefined && !(await addRest(shard, after, last.before))) return page.position;
    }
  }
  return undefined;
}

/** @param flat message id and time of acceptance in turn */
function foundIn(flat: readonly string[], shard: number, client: string): Found {
  return Array.from({ length: flat.length / 2 }, (_, i) => ({
    id: flat[2 * i] ?? '',
    position: { shard, client, before: Number(flat[2 * i + 1]) },
  }));
}
