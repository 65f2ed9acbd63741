/**
 * Checks that each claim of a message leads to at most one publish, on a machine of any speed: a claim that arrives late is
 * given up and repeated, and the claim of a dispatcher that died or is too slow is taken over.
 */
import type { Redis } from '@app/platform';
import type { RegistryKeys } from '@app/registry';
import { storedMessage } from './stored-message.js';

/** The statuses of a message that was sent with its first claim. */
export const SENT = ['queued', 'in_flight', 'sent'] as const;

/** Ids of messages of one shard that were received more often than they were claimed. */
export async function publishedWithoutClaim(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  received: readonly string[],
): Promise<string[]> {
  const times = new Map<string, number>();
  for (const id of received) times.set(id, (times.get(id) ?? 0) + 1);
  const repeated = [...times].filter(([, count]) => count > 1);
  const stored = await Promise.all(repeated.map(([id]) => storedMessage(redis, keys.message(shard, id))));
  return repeated.flatMap(([id, count], i) => (count > Number(stored[i]?.['attempts']) ? [id] : []));
}

/** The statuses of a message except those of claims that were given up. */
export function withoutGivenUpClaims<Item>(
  items: readonly Item[],
  statusOf: (item: Item | undefined) => unknown = (item) => item,
): Item[] {
  return items.filter((item, i) => {
    const [status, before, after] = [item, items[i - 1], items[i + 1]].map(statusOf);
    return !(status === 'in_flight' && after === 'queued') && !(status === 'queued' && before === 'in_flight');
  });
}
