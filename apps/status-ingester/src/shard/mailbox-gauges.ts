/** What waits in the mailboxes of the shards owned here: read when metrics are asked for. */
import type { Gauge } from 'prom-client';
import { gauge, redisTrouble, type Redis } from '@app/platform';
import { readMailboxes, type Ownership, type ShardingKeys } from '@app/sharding';

export function exposeMailboxes(redis: Redis, keys: ShardingKeys, ownership: Pick<Ownership, 'held'>): void {
  let reading: ReturnType<typeof read> | undefined;
  const read = async (): Promise<{ depth: number; oldestMs: number } | undefined> => {
    // While Redis is away the other metrics are still to be had.
    if ((await redisTrouble(redis)) !== undefined) return undefined;
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
      show(this, (await readOnce())?.depth);
    },
  );
  gauge('mailbox_oldest_age_seconds', 'Age of the oldest entry that waits in these mailboxes.', [], async function () {
    const oldestMs = (await readOnce())?.oldestMs;
    show(this, oldestMs === undefined ? undefined : oldestMs / 1000);
  });
}

/** What is not known has no sample: NaN would spoil a `max` or a `sum` over all ingesters. */
function show(of: Pick<Gauge, 'set' | 'remove'>, value: number | undefined): void {
  if (value === undefined) of.remove();
  else of.set(value);
}
