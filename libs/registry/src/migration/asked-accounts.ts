/**
 * 0.1.0 kept the last known account of a client while it was being asked for, and published meanwhile. That the question
 * is open was only known from its to-do.
 */
import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import type { RegistryKeys } from '../registry-keys.js';
import { decodeToDo } from '../to-do.js';
import type { MigrationStep } from './migration-step.js';

/** To-dos read at once, about. */
const PAGE = 500;

export const ASKED_ACCOUNTS: MigrationStep = {
  to: 2,
  what: 'clients whose account is being asked for',
  run: markAskedAccounts,
};

/** Marks the clients with an account whose question is open; its answer removes the mark. */
async function markAskedAccounts(redis: Redis, keys: RegistryKeys, { index: shard }: Grant): Promise<void> {
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.zscan(keys.todo(shard), cursor, 'COUNT', PAGE);
    const asked = flat.flatMap((text, i) => (i % 2 === 0 ? askedIn(text) : []));
    if (asked.length > 0) {
      const accounts = await redis.hmget(keys.accounts(shard), ...asked);
      const marked = asked.filter((_, i) => accounts[i] !== null);
      if (marked.length > 0) await redis.sadd(keys.accountsAsked(shard), ...marked);
    }
    if (next === '0') return;
    cursor = next;
  }
}

/** What cannot be read is left to housekeeping, which makes it a dead letter. */
function askedIn(text: string): string[] {
  if (!text.startsWith('{"do":"account",')) return [];
  try {
    const todo = decodeToDo(text);
    return todo.do === 'account' ? [todo.client_id] : [];
  } catch {
    return [];
  }
}
