/** Counts the bytes of a shard's unfinished messages by client and by payer. */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

/** Bytes that a message takes in Redis in addition to its payload, directive and Idempotency-Key. */
export const MESSAGE_BYTES = 1024;
/** Begins the name of the counter of a payer's messages in flight, beside the counters of bytes. */
export const IN_FLIGHT_OF = 'in_flight:';
/** Bytes that a finished message takes in Redis in addition to its history, directive and client id. */
export const FINISHED_MESSAGE_BYTES = 336;
/** Bytes that a message takes in addition to that while it awaits its answer: it is in a sorted set in place of a list. */
export const AWAITING_MESSAGE_BYTES = 112;
/** The payer of messages without an account that were accepted before payers were recorded. */
export const UNKNOWN_PAYER = 'unknown';
/** Default limits for the bytes of one connection's and of one shard's unfinished messages. */
export const OUTBOX_BYTES = 16_777_216;
export const SHARD_OUTBOX_BYTES = 268_435_456;

/** The payer of a caller's messages: its account, or its API key or token if it has no account. */
export function payerOf({ id, account }: { id: string; account?: string }): string {
  return account === undefined ? id : `account:${account}`;
}

/** Messages that one run of the migration's script charges. */
const CHARGE_BATCH = 500;

const recountCommand = messageCommands.load<MessageKeys & { owner: string }, { fence: string }, 0 | 1 | 2>(
  'recount-bytes',
);

const chargeStored = messageCommands.load<
  MessageKeys & { owner: string },
  { fence: string; from: number; count: number },
  number
>('charge-stored-messages');

/** Recounts the bytes of a shard. @returns false if the shard has too many messages for that @throws StaleOwnerError */
export async function recountBytes(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<boolean> {
  const shardKeys = { ...keys.ofMessages(grant.index), owner: keys.owner(grant) };
  const reply = await recountCommand.run(redis, shardKeys, { fence: grant.fence });
  if (reply === 0) throw new StaleOwnerError(grant);
  return reply === 1;
}

/** Charges unfinished messages of a shard that an older release accepted. @throws StaleOwnerError */
export async function chargeStoredMessages(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const shardKeys = { ...keys.ofMessages(grant.index), owner: keys.owner(grant) };
  for (let from = 0; ; from += CHARGE_BATCH) {
    const checked = await chargeStored.run(redis, shardKeys, { fence: grant.fence, from, count: CHARGE_BATCH });
    if (checked === -1) throw new StaleOwnerError(grant);
    if (checked < CHARGE_BATCH) return;
  }
}

/**
 * The bytes of each payer's unfinished messages on all shards, in the order of the payers. If shards could not be read,
 * `failure` says why, and the sums do not include these shards.
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
  for (const reply of await Promise.allSettled(shards)) {
    if (reply.status === 'rejected') failure = reply.reason as Error;
    else for (const [i, bytes] of reply.value.entries()) sums[i] = (sums[i] ?? 0) + Number(bytes ?? 0);
  }
  return { sums, failure };
}
