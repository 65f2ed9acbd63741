/** What waits in the mailboxes of the shards owned here: read when metrics are asked for. */
import { gauge, redisTrouble, type Redis } from '@app/platform';
import { readMailboxes, type Ownership, type ShardingKeys } from '@app/sharding';

export function exposeMailboxes(redis: Redis, keys: ShardingKeys, ownership: Pick<Ownership, 'held'>): void {
  let reading: ReturnType<typeof read> | undefined;
  const read = async (): Promise<{ depth: number; oldestMs: number }> => {
    // While Redis is away the metrics are still to be had.
    if ((await redisTrouble(redis)) !== undefined) return { depth: NaN, oldestMs: NaN };
    const shards = ownership.held().flatMap(({ kind, index }) => (kind === 'shard' ? [index] : []));
    const mailboxes = await readMailboxes(redis, keys, shards);
    return {
      depth: mailboxes.reduce((sum, { depth }) => sum + depth, 0),
      oldestMs: Math.max(0, ...mailboxes.map(({ oldestMs }) => oldestMs)),
    };
  };
  // Both gauges are collected at once, and read once.
  const readOnce = (): ReturnType<typeof read> =>
    (reading ??= read().finally(() => {
      reading = undefined;
    }));
  gauge(
    'mailbox_depth',
    'Entries that wait in the mailboxes of the shards this process acts for.',
    [],
    async function () {
      this.set((await readOnce()).depth);
    },
  );
  gauge('mailbox_oldest_age_seconds', 'Age of the oldest entry that waits in these mailboxes.', [], async function () {
    this.set((await readOnce()).oldestMs / 1000);
  });
}
