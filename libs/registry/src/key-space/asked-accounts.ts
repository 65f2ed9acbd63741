/**
 * 0.1.0 kept the last known account of a client during an account request, and continued to publish. It stored a pending
 * request only as a to-do.
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';
import { decodeToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

/** Approximate number of to-dos that are read at a time. */
const PAGE = 500;

const markAsked = commands.load<
  { owner: string; accounts: string; accounts_asked: string },
  { fence: string; clients: readonly string[] },
  -1 | 0
>('mark-asked-accounts');

export const ASKED_ACCOUNTS: MigrationStep = {
  to: 2,
  what: 'clients whose account is being asked for',
  run: markAskedAccounts,
};

/** Marks the clients with an account for which a request is pending. The mark is removed when the account is known. */
async function markAskedAccounts(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const { index: shard } = grant;
  const shardKeys = {
    owner: keys.owner(grant),
    accounts: keys.accounts(shard),
    accounts_asked: keys.accountsAsked(shard),
  };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.zscan(keys.todo(shard), cursor, 'COUNT', PAGE);
    const asked = flat.flatMap((text, i) => (i % 2 === 0 ? askedIn(text) : []));
    const args = { fence: grant.fence, clients: asked };
    if (asked.length > 0 && (await markAsked.run(redis, shardKeys, args)) === -1) {
      throw new StaleOwnerError(grant);
    }
    if (next === '0') return;
    cursor = next;
  }
}

/** Ignores an unreadable to-do: housekeeping dead-letters it. */
function askedIn(text: string): string[] {
  if (!text.startsWith('{"do":"account",')) return [];
  try {
    const todo = decodeToDo(text);
    return todo.do === 'account' ? [todo.client_id] : [];
  } catch {
    return [];
  }
}
