import type { Redis } from '@app/platform';
import type { MailboxEntry } from './mailbox.js';
import type { ShardingKeys } from './sharding-keys.js';
import type { StreamReader } from './shard-stream.js';
import { streamReader } from './stream-reader.js';

/** Reads the mailboxes of many shards together. */
export function mailboxReader(redis: Redis, keys: ShardingKeys): StreamReader<MailboxEntry> {
  return streamReader(redis, {
    key: (shard) => keys.mailbox(shard),
    decode: (id, [, text = '']) => ({ id, text }),
  });
}
