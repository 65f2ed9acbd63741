/** Gauges of what waits in the mailboxes of the owned shards. They are read from Redis when metrics are scraped. */
import { gauge, redisOutage, setOrRemove, type Redis } from '@app/platform';
import { readMailboxes, type Ownership, type ShardingKeys } from '@app/sharding';

export function exposeMailboxes(redis: Redis, keys: ShardingKeys, ownership: Pick<Ownership, 'grants'>): void {
  let reading: ReturnType<typeof read> | undefined;
  const read = async (): Promise<{ depth: number; oldestMs: number } | undefined> => {
    // While Redis is away, a scrape must still return the other metrics.
    if ((await redisOutage(redis)) !== undefined) return undefined;
    const shards = ownership.grants().flatMap(({ kind, index }) => (kind === 'shard' ? [index] : []));
    const mailboxes = await readMailboxes(redis, keys, shards);
    return {
      depth: mailboxes.reduce((sum, { depth }) => sum + depth, 0),
      oldestMs: Math.max(0, ...mailboxes.map(({ oldestMs }) => oldestMs)),
    };
  };
  // A scrape collects both gauges with one read.
  const readOnce = (): ReturnType<typeof read> =>
    (reading ??= read().finally(() => {
      reading = undefined;
    }));
  gauge(
    'mailbox_depth',
    'Entries that wait in the mailboxes of the shards that this process owns.',
    [],
    async function () {
      setOrRemove(this, (await readOnce())?.depth);
    },
  );
  gauge('mailbox_oldest_age_seconds', 'Age of the oldest entry that waits in these mailboxes.', [], async function () {
    const oldestMs = (await readOnce())?.oldestMs;
    setOrRemove(this, oldestMs === undefined ? undefined : oldestMs / 1000);
  });
}
