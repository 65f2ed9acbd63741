/**
 * The dispatcher's side of an outbox: settle the message that was published and claim the next, in one script.
 * The head of the list is the message in flight; it leaves the list only when settled, so a dispatcher that dies
 * in between leaves it to be published again, under the same id.
 */
import { shardOf } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import { EVENTS_KEPT, type RegistryEvent } from './event.js';
import { brief, MESSAGE_LUA } from './message-status.js';
import type { RegistryKeys } from './registry-keys.js';
import { encodeToDo, WAKE_AGAIN_MS } from './to-do.js';

/** What became of a publish. */
export type Settlement =
  | { messageId: string; outcome: 'sent' }
  /** The broker refused it for good. */
  | { messageId: string; outcome: 'failed'; details: string }
  /** Nobody listens on the client's topic: tried again after a back-off, held meanwhile. */
  | { messageId: string; outcome: 'unheard' }
  /** Not published: tried again after a back-off. */
  | { messageId: string; outcome: 'retry'; details: string };

export interface ClaimedMessage {
  messageId: string;
  directive: string;
  payloadJson: string | undefined;
  /** Time to live that is left, milliseconds. */
  leftMs: number;
  requestId: string;
  /** 1 for the first try. */
  attempt: number;
  createdAt: number;
}

/** What a client's `message-error` did; only `failed` changed anything. */
export type ClientErrorOutcome = 'failed' | 'repeated' | 'unknown' | 'foreign' | 'not-published';

export type DrainStep =
  | { kind: 'claimed'; message: ClaimedMessage }
  | { kind: 'empty' }
  /** What is left is held. */
  | { kind: 'offline' }
  /** The settled message waits for its next try; a to-do of the shard wakes a dispatcher then. */
  | { kind: 'waiting'; forMs: number };

/** Waiting time after an unheard or failed try doubles from the first to the second. */
const RETRY_MS = { first: 1000, most: 60_000 };

/**
 * KEYS online hosts, online proxies, outbox, expiry, todo
 * ARGV client id, message key prefix, wake to-do, wake grace ms, settled id ('' for none), outcome, details,
 *      first and longest retry ms
 * → ['empty'] | ['offline'] | ['waiting', ms] | ['claimed', id, directive, payload, left ms, request id, attempt, created at]
 */
const drainScript = new RedisScript<[DrainStep['kind'], ...(string | number)[]]>(
  'ccDrain',
  `${MESSAGE_LUA}
   local client, prefix, wake, settled, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
   local at = now()
   local function drop(id)
     redis.call('LREM', KEYS[3], 1, id)
     redis.call('ZREM', KEYS[4], id)
   end
   -- Only what has come to its end leaves the outbox: one that another drain has put back is published again.
   local function drop_if_ended(id)
     local status = redis.call('HGET', prefix .. id, 'status')
     if status ~= 'queued' and status ~= 'in_flight' then drop(id) end
   end
   local function due(ms) redis.call('ZADD', KEYS[5], string.format('%.0f', at + ms), wake) end

   if settled ~= '' then
     local key = prefix .. settled
     if outcome == 'sent' or outcome == 'failed' then
       move(key, outcome, at, ARGV[7])
       drop_if_ended(settled)
     elseif move(key, 'queued', at, ARGV[7]) then
       local attempts = tonumber(redis.call('HGET', key, 'attempts'))
       redis.call('HSET', key, 'unheard', outcome == 'unheard' and 1 or 0)
       local wait = math.min(tonumber(ARGV[9]), tonumber(ARGV[8]) * 2 ^ math.min(attempts - 1, 20))
       due(wait)
       return { 'waiting', wait }
     else
       drop_if_ended(settled)
     end
   end

   local online = redis.call('ZSCORE', KEYS[1], client) or redis.call('ZSCORE', KEYS[2], client)
   while true do
     local id = redis.call('LINDEX', KEYS[3], 0)
     if not id or not online then
       if id and redis.call('HGET', prefix .. id, 'status') == 'in_flight' then move(prefix .. id, 'queued', at) end
       redis.call('ZREM', KEYS[5], wake)
       return { id and 'offline' or 'empty' }
     end
     local key = prefix .. id
     local m = redis.call('HMGET', key, 'status', 'directive', 'payload', 'expires_at', 'request_id', 'created_at')
     if m[1] == 'queued' and tonumber(m[4]) <= at then
       move(key, 'expired', at)
       drop(id)
     elseif m[1] == 'in_flight' or (m[1] == 'queued' and move(key, 'in_flight', at)) then
       local attempt = redis.call('HINCRBY', key, 'attempts', 1)
       due(tonumber(ARGV[4]))
       return { 'claimed', id, m[2], m[3], math.max(0, tonumber(m[4]) - at), m[5], attempt, m[6] }
     else
       drop(id)
     end
   end`,
);

/** KEYS message, events · ARGV client id, details, event → the outcome; the event is told where no message matches. */
const clientErrorScript = new RedisScript<ClientErrorOutcome>(
  'ccClientError',
  `${MESSAGE_LUA}
   local m = redis.call('HMGET', KEYS[1], 'client_id', 'status')
   if m[1] ~= ARGV[1] then
     redis.call('XADD', KEYS[2], 'MAXLEN', '~', ${EVENTS_KEPT}, '*', 'at', string.format('%.0f', now()), 'event', ARGV[3])
     return m[1] and 'foreign' or 'unknown'
   end
   if m[2] == 'failed' then return 'repeated' end
   if (m[2] == 'in_flight' or m[2] == 'sent') and move(KEYS[1], 'failed', now(), ARGV[2]) then return 'failed' end
   return 'not-published'`,
);

/** Whether what waits for a client is held: it is offline, or the last try found that it does not listen. */
export async function isHeld(redis: Redis, keys: RegistryKeys, shard: number, clientId: string): Promise<boolean> {
  const [host, proxy, head] = await Promise.all([
    redis.zscore(keys.index(shard, 'online', 'host'), clientId),
    redis.zscore(keys.index(shard, 'online', 'proxy'), clientId),
    redis.lindex(keys.outbox(shard, clientId), 0),
  ]);
  if (host === null && proxy === null) return true;
  return head !== null && (await redis.hget(keys.message(shard, head), 'unheard')) === '1';
}

export class Outboxes {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** Settles what was published, if anything, and claims the next message of the connection. Safe to repeat. */
  async drain(clientId: string, settlement?: Settlement): Promise<DrainStep> {
    const { keys } = this;
    const shard = shardOf(clientId, this.shardCount);
    const details = settlement !== undefined && 'details' in settlement ? brief(settlement.details) : '';
    const [kind, ...rest] = await drainScript.run(
      this.redis,
      [
        keys.index(shard, 'online', 'host'),
        keys.index(shard, 'online', 'proxy'),
        keys.outbox(shard, clientId),
        keys.expiry(shard),
        keys.todo(shard),
      ],
      [
        clientId,
        keys.messagePrefix(shard),
        encodeToDo({ do: 'wake', client_id: clientId }),
        WAKE_AGAIN_MS,
        settlement?.messageId ?? '',
        settlement?.outcome ?? '',
        details,
        RETRY_MS.first,
        RETRY_MS.most,
      ],
    );
    if (kind === 'waiting') return { kind, forMs: Number(rest[0]) };
    if (kind !== 'claimed') return { kind };
    const [messageId, directive, payload, leftMs, requestId, attempt, createdAt] = rest;
    return {
      kind,
      message: {
        messageId: String(messageId),
        directive: String(directive),
        payloadJson: payload === '' ? undefined : String(payload),
        leftMs: Number(leftMs),
        requestId: String(requestId),
        attempt: Number(attempt),
        createdAt: Number(createdAt),
      },
    };
  }

  /** A client's `message-error`: the message becomes `failed`, if it was published to this very client. */
  async failByClient(clientId: string, messageId: string, details: string): Promise<ClientErrorOutcome> {
    const shard = shardOf(clientId, this.shardCount);
    const event: RegistryEvent = {
      type: 'message.unmatched_error',
      client_id: clientId,
      in_response_to: messageId,
      details: brief(details),
    };
    const keys = [this.keys.message(shard, messageId), this.keys.events(shard)];
    return clientErrorScript.run(this.redis, keys, [clientId, brief(details), JSON.stringify(event)]);
  }
}
