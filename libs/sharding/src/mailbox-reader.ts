/** Reading mailboxes: many at once, and waiting where nothing is there to read. How depends on where they lie. */
import { isCluster, type Redis } from '@app/platform';
import { BlockingReader } from './blocking-reader.js';
import type { MailboxEntry } from './mailbox.js';
import { PollingReader } from './polling-reader.js';
import type { ShardingKeys } from './sharding-keys.js';

/** Takes one shard's entries, in order; never rejects. */
export type Deliver = (shard: number, entries: readonly MailboxEntry[]) => Promise<void>;

export interface MailboxReader {
  /**
   * Reads once what stands after each of these positions, and delivers it. Resolves soon where there is nothing; a
   * shard's next entries are not read before the last ones have been taken.
   */
  read(positions: ReadonlyMap<number, string>, deliver: Deliver): Promise<void>;
}

/** One command can read all mailboxes of one Redis, but only those of one hash slot of a Redis Cluster. */
export function mailboxReader(redis: Redis, keys: ShardingKeys): MailboxReader {
  return isCluster(redis) ? new PollingReader(redis, keys) : new BlockingReader(redis, keys);
}
