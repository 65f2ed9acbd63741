/** What unfinished messages weigh, and who pays for them: the counters of a shard beside its outboxes. */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

/** What a message takes in Redis beside its payload, its directive and its Idempotency-Key. */
export const MESSAGE_BYTES = 1024;
/** What a finished message takes in Redis beside its history, its directive and its client's id. */
export const FINISHED_MESSAGE_BYTES = 640;
/** Pays for messages that were accepted before payers were recorded and have no account. */
export const UNKNOWN_PAYER = 'unknown';
/** Bytes of one connection's and of one shard's unfinished messages, unless set otherwise. */
export const OUTBOX_BYTES = 16_777_216;
export const SHARD_OUTBOX_BYTES = 268_435_456;

/** Who pays for a caller's messages: its account, or else its key or token. */
export function payerOf({ id, account }: { id: string; account?: string }): string {
  return account === undefined ? id : `account:${account}`;
}

/** Messages that one script of the migration charges. */
const CHARGED_AT_ONCE = 500;

const recountCommand = commands.load<MessageKeys & { owner: string }, { fence: string }, 0 | 1 | 2>('recount-bytes');

const chargeStored = commands.load<
  MessageKeys & { owner: string },
  { fence: string; from: number; count: number },
  number
>('charge-stored-messages');

/** Sets the counters of a shard right. @returns false if too much waits for it @throws StaleOwnerError */
export async function recountBytes(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<boolean> {
  const shardKeys = { ...keys.ofMessages(grant.index), owner: keys.owner(grant) };
  const reply = await recountCommand.run(redis, shardKeys, { fence: grant.fence });
  if (reply === 0) throw new StaleOwnerError(grant);
  return reply === 1;
}

/** Charges the unfinished messages of a shard that an older release accepted. @throws StaleOwnerError */
export async function chargeStoredMessages(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const shardKeys = { ...keys.ofMessages(grant.index), owner: keys.owner(grant) };
  for (let from = 0; ; from += CHARGED_AT_ONCE) {
    const seen = await chargeStored.run(redis, shardKeys, { fence: grant.fence, from, count: CHARGED_AT_ONCE });
    if (seen === -1) throw new StaleOwnerError(grant);
    if (seen < CHARGED_AT_ONCE) return;
  }
}

/**
 * What payers' unfinished messages weigh on all shards together, in their order. `failure`: why shards are missing in the
 * sums, if some could not be read.
 */
export async function bytesOfPayers(
  redis: Redis,
  keys: RegistryKeys,
  shardCount: number,
  payers: readonly string[],
): Promise<{ sums: number[]; failure: Error | undefined }> {
  const shards = Array.from({ length: shardCount }, (_, shard) => redis.hmget(keys.outboxBytes(shard), ...payers));
  const sums = payers.map(() => 0);
  let failure: Error | undefined;
  for (const held of await Promise.allSettled(shards)) {
    if (held.status === 'rejected') failure = held.reason as Error;
    else for (const [i, bytes] of held.value.entries()) sums[i] = (sums[i] ?? 0) + Number(bytes ?? 0);
  }
  return { sums, failure };
}
