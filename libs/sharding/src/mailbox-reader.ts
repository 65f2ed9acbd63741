import { isCluster, type Redis } from '@app/platform';
import { BlockingReader } from './blocking-reader.js';
import type { MailboxReader } from './owner-loop.js';
import { PollingReader } from './polling-reader.js';
import type { ShardingKeys } from './sharding-keys.js';

/** One command can read all mailboxes of one Redis, but only those of one hash slot of a Redis Cluster. */
export function mailboxReader(redis: Redis, keys: ShardingKeys): MailboxReader {
  return isCluster(redis) ? new PollingReader(redis, keys) : new BlockingReader(redis, keys);
}
