/** What unfinished messages weigh, and who pays for them: the counters of a shard beside its outboxes. */
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { MESSAGE_LUA, OF_MESSAGES, UNKNOWN_PAYER } from './message-script.js';
import type { RegistryKeys } from '../keys.js';

/** What a message takes in Redis beside its payload, its directive and its Idempotency-Key. */
export const MESSAGE_BYTES = 1024;
/** Bytes of one connection's and of one shard's unfinished messages, unless set otherwise. */
export const OUTBOX_BYTES = 16_777_216;
export const SHARD_OUTBOX_BYTES = 268_435_456;

/** Who pays for a caller's messages: its account, or else its key or token. */
export function payerOf({ id, account }: { id: string; account?: string }): string {
  return account === undefined ? id : `account:${account}`;
}

/** Unfinished messages up to which a shard is recounted: it is one script, of a few ten milliseconds at most. */
const RECOUNTED_AT_MOST = 20_000;
/** Messages that one script of the migration charges. */
const CHARGED_AT_ONCE = 500;

/**
 * KEYS `ofMessages`, owner · ARGV fence → 0 where stale, 1 recounted, 2 too many to do it at once.
 * The counters are exact unless a record was lost or cannot be read: what it weighed stays counted until then.
 */
const recountScript = new RedisScript<0 | 1 | 2>(
  'ccRecountBytes',
  `${MESSAGE_LUA}
   if call('GET', KEYS[${OF_MESSAGES + 1}]) ~= ARGV[1] then return 0 end
   if call('ZCARD', EXPIRY) > ${RECOUNTED_AT_MOST} then return 2 end
   local sums = {}
   local function add(field, bytes) sums[field] = (sums[field] or 0) + bytes end
   for from = 0, ${RECOUNTED_AT_MOST}, ${CHARGED_AT_ONCE} do
     for _, id in ipairs(call('ZRANGE', EXPIRY, from, from + ${CHARGED_AT_ONCE - 1})) do
       local m = load(id)
       local bytes, _, payer = cost_of(m)
       if payer and m[3] then
         add('', bytes)
         add(payer, bytes)
         add('client:' .. m[3], bytes)
       end
     end
   end
   call('DEL', OUTBOX_BYTES)
   for field, bytes in pairs(sums) do call('HSET', OUTBOX_BYTES, field, string.format('%.0f', bytes)) end
   return 1`,
);

/** KEYS `ofMessages`, owner · ARGV fence, from → -1 where stale, how many were looked at. Charges each message once. */
const chargeScript = new RedisScript<number>(
  'ccChargeBytes',
  `${MESSAGE_LUA}
   if call('GET', KEYS[${OF_MESSAGES + 1}]) ~= ARGV[1] then return -1 end
   local ids = call('ZRANGE', EXPIRY, ARGV[2], ARGV[2] + ${CHARGED_AT_ONCE - 1})
   for _, id in ipairs(ids) do
     local m = load(id, 'directive', 'payload')
     if not m.err and m[3] and not m.cost and (m[1] == 'queued' or m[1] == 'in_flight') then
       local bytes = ${MESSAGE_BYTES} + #(m[6] or '') + #(m[7] or '')
       local payer = m[5] and 'account:' .. m[5] or '${UNKNOWN_PAYER}'
       call('HSET', MESSAGE .. id, 'cost', string.format('%.0f', bytes) .. ' ' .. payer)
       for _, field in ipairs({ '', payer, 'client:' .. m[3] }) do call('HINCRBY', OUTBOX_BYTES, field, bytes) end
     end
   end
   return #ids`,
);

/** Sets the counters of a shard right. @returns false if too much waits for it @throws StaleOwnerError */
export async function recountBytes(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<boolean> {
  const scriptKeys = [...keys.ofMessages(grant.index), keys.owner(grant)];
  const reply = await recountScript.run(redis, scriptKeys, [grant.fence]);
  if (reply === 0) throw new StaleOwnerError(grant);
  return reply === 1;
}

/** Charges the unfinished messages of a shard that an older release accepted. @throws StaleOwnerError */
export async function chargeStoredMessages(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const scriptKeys = [...keys.ofMessages(grant.index), keys.owner(grant)];
  for (let from = 0; ; from += CHARGED_AT_ONCE) {
    const seen = await chargeScript.run(redis, scriptKeys, [grant.fence, from]);
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
