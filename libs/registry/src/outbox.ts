/**
 * The dispatcher's side of an outbox: settle the message that was published and claim the next, in one script.
 * The head of the list is the message in flight; it leaves the list only when settled, so a dispatcher that dies
 * in between leaves it to be published again, under the same id.
 */
import { shardOf } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import { type RegistryEvent } from './event.js';
import { MESSAGE_LUA } from './message-script.js';
import { brief } from './message-status.js';
import type { RegistryKeys } from './registry-keys.js';
import { encodeToDo, WAKE_AGAIN_MS } from './to-do.js';

/** What became of a publish; `attempt` as it was claimed. */
export type Settlement = Pick<ClaimedMessage, 'messageId' | 'attempt'> &
  (
    | { outcome: 'sent' }
    /** The broker refused it for good. */
    | { outcome: 'failed'; details: string }
    /** Nobody listens on the client's topic: tried again after a back-off, held meanwhile. */
    | { outcome: 'unheard' }
    /** Not published: tried again after a back-off. */
    | { outcome: 'retry'; details: string }
  );

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
  | { kind: 'waiting'; forMs: number }
  /** Another drain has claimed the settled message since, and goes on in this one's place. */
  | { kind: 'superseded' };

/** Waiting time after an unheard or failed try doubles from the first to the second. */
const RETRY_MS = { first: 1000, most: 60_000 };

/**
 * A drain whose message was claimed by another one meanwhile settles what is certain, that it was sent, and ends: of two
 * drains of one connection, which there are for a moment where a dispatcher was taken for dead, the newer one goes on.
 * KEYS `ofMessages` · ARGV wake grace ms, first and longest retry ms, then for each connection:
 *      client id, wake to-do, settled id ('' for none), attempt, outcome, details
 * → for each: ['empty'] | ['offline'] | ['waiting', ms] | ['superseded']
 *   | ['claimed', id, directive, payload, left ms, request id, attempt, created at]
 */
const drainScript = new RedisScript<[DrainStep['kind'], ...(string | number)[]][]>(
  'ccDrain',
  `${MESSAGE_LUA}
   local grace, first_wait, longest_wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

   local function drain(client, wake, settled, attempt, outcome, details)
     local outbox = OUTBOX .. client
     local function due(ms) redis.call('ZADD', TODO, string.format('%.0f', at + ms), wake) end
     -- Only what has come to its end leaves the outbox: one that another drain has put back is published again.
     local function drop_if_ended(id, m)
       if m[1] ~= 'queued' and m[1] ~= 'in_flight' then redis.call('LREM', outbox, 1, id) end
     end

     if settled ~= '' then
       local m = load(settled, 'attempts', 'unheard')
       local stale = m[5] and m[5] ~= attempt
       if stale and outcome ~= 'sent' then return { 'superseded' } end
       if outcome == 'sent' or outcome == 'failed' then
         move(settled, m, outcome, outcome, details)
         drop_if_ended(settled, m)
         if stale then return { 'superseded' } end
       else
         local unheard = outcome == 'unheard'
         local shown = unheard and 'held' or 'queued'
         if move(settled, m, 'queued', shown, details, 'unheard', unheard and '1' or '0') then
           local wait = math.min(longest_wait, first_wait * 2 ^ math.min(m[5] - 1, 20))
           due(wait)
           return { 'waiting', wait }
         end
         drop_if_ended(settled, m)
       end
     end

     local online = redis.call('ZSCORE', HOSTS, client) or redis.call('ZSCORE', PROXIES, client)
     while true do
       local id = redis.call('LINDEX', outbox, 0)
       local m = id and load(id, 'directive', 'payload', 'expires_at', 'request_id', 'created_at', 'attempts')
       if not id or not online then
         if m and m[1] == 'in_flight' then move(id, m, 'queued', 'held') end
         redis.call('ZREM', TODO, wake)
         return { id and 'offline' or 'empty' }
       end
       local left = m[7] and m[7] - at
       if m[1] == 'queued' and left <= 0 then
         move(id, m, 'expired', 'expired')
         redis.call('LREM', outbox, 1, id)
       elseif m[1] == 'queued' or m[1] == 'in_flight' then
         local attempt = (m[10] or 0) + 1
         if m[1] == 'in_flight' then redis.call('HSET', MESSAGE .. id, 'attempts', attempt)
         else move(id, m, 'in_flight', 'in_flight', nil, 'attempts', attempt) end
         if settled == '' then due(grace) end
         return { 'claimed', id, m[5], m[6], math.max(0, left), m[8], attempt, m[9] }
       else
         redis.call('LREM', outbox, 1, id)
         if not m[1] then redis.call('ZREM', EXPIRY, id) end
       end
     end
   end

   local steps = {}
   for i = 4, #ARGV, 6 do steps[#steps + 1] = drain(unpack(ARGV, i, i + 5)) end
   return steps`,
);

/**
 * KEYS `ofMessages` · ARGV client id, message id, details, event → the outcome; the event is told where no message
 * matches.
 */
const clientErrorScript = new RedisScript<ClientErrorOutcome>(
  'ccClientError',
  `${MESSAGE_LUA}
   local m = load(ARGV[2])
   if m[3] ~= ARGV[1] then
     append(ARGV[4], redis.call('HGET', ACCOUNTS, ARGV[1]))
     return m[3] and 'foreign' or 'unknown'
   end
   if m[1] == 'failed' then return 'repeated' end
   if (m[1] == 'in_flight' or m[1] == 'sent') and move(ARGV[2], m, 'failed', 'failed', ARGV[3]) then return 'failed' end
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
    const [reply] = await drainScript.run(this.redis, keys.ofMessages(shard), [
      WAKE_AGAIN_MS,
      RETRY_MS.first,
      RETRY_MS.most,
      clientId,
      encodeToDo({ do: 'wake', client_id: clientId }),
      settlement?.messageId ?? '',
      settlement?.attempt ?? '',
      settlement?.outcome ?? '',
      details,
    ]);
    const [kind, ...rest] = reply ?? ['empty'];
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
    const args = [clientId, messageId, brief(details), JSON.stringify(event)];
    return clientErrorScript.run(this.redis, this.keys.ofMessages(shard), args);
  }
}
