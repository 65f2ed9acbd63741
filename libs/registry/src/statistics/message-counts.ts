/** How many messages reached each status in each minute of the last hour. The scripts that write a status count it. */
import type { Redis } from '@app/platform';
import { readLogCounts } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';
import { MESSAGE_STATUSES, type MessageStatus } from '../message-status.js';

export type MessageCounts = Readonly<Record<MessageStatus, number>>;

/**
 * A message that is accepted for a client that is not connected counts as `held`, otherwise as `queued`, also each time when it is
 * queued again.
 * @param now epoch milliseconds, by Redis' clock
 * @returns the counts of 60 minutes, oldest first; the last is the minute that is not over yet
 */
export async function readMessageCounts(
  redis: Redis,
  keys: RegistryKeys,
  shardCount: number,
  now: number,
): Promise<MessageCounts[]> {
  const minutes = await readLogCounts(redis, keys, shardCount, now);
  return minutes.map(
    (counts) =>
      Object.fromEntries(
        MESSAGE_STATUSES.map((status) => [status, counts.get(status) ?? 0]),
      ) as unknown as MessageCounts,
  );
}
