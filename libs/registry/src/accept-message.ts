/**
 * Accepting messages of one shard: each connection is checked and its outbox appended in one script, so neither
 * outruns the other. A message that is refused changes nothing for the others.
 */
import { RedisScript } from '@app/platform';
import { MESSAGE_LUA } from './message-script.js';

/** Refused, or `[message id, directive, created at, expires at, online 0/1, replayed 0/1]`. */
export type AcceptReply =
  | 'unknown'
  | 'building'
  | 'offline'
  | 'full'
  | 'shard-full'
  | 'mismatch'
  | [id: string, directive: string, createdAt: string, expiresAt: string, online: number, replayed: number];

/** Arguments of `acceptScript` for each client, and for each message. */
export const ACCEPT_ARGS = { head: 7, client: 2, message: 9 } as const;

/**
 * KEYS `ofMessages`, swept
 * ARGV outbox limit, shard limit, retention ms, wake grace ms, idempotency retention ms, number of clients,
 *      account the caller is bound to ('' for none),
 *      then for each client: its id, its wake to-do,
 *      then for each message: number of its client from 1, message id, directive, payload ('' for none), time to live
 *      ms, reject when offline (0/1), request id, fingerprint ('' without Idempotency-Key), Idempotency-Key
 * → an `AcceptReply` for each message
 */
export const acceptScript = new RedisScript<AcceptReply[]>(
  'ccAccept',
  `${MESSAGE_LUA}
   local outbox_limit, shard_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
   local wake_at = string.format('%.0f', at + tonumber(ARGV[4]))
   local micros = time[1] * 1000000 + time[2]
   local unfinished = redis.call('ZCARD', EXPIRY)
   local clients, replies = {}, {}
   local first = ${ACCEPT_ARGS.head} + ARGV[6] * ${ACCEPT_ARGS.client}

   local function unknown() return redis.call('EXISTS', KEYS[13]) == 1 and 'unknown' or 'building' end

   local function client_of(number)
     local client = clients[number]
     if client then return client end
     local i = ${ACCEPT_ARGS.head} + (number - 1) * ${ACCEPT_ARGS.client}
     local id = ARGV[i + 1]
     client = { id = id, wake = ARGV[i + 2], outbox = OUTBOX .. id, index = MESSAGES .. id }
     client.account = redis.call('HGET', ACCOUNTS, id)
     client.foreign = ARGV[7] ~= '' and client.account ~= ARGV[7]
     client.online = redis.call('ZSCORE', HOSTS, id) or redis.call('ZSCORE', PROXIES, id)
     client.known = client.online or redis.call('HEXISTS', CONNECTIONS, id) == 1
     client.length = redis.call('LLEN', client.outbox)
     clients[number] = client
     return client
   end

   local function accept(number, i)
     local client = client_of(tonumber(ARGV[i + 1]))
     local id, directive, online, fingerprint = ARGV[i + 2], ARGV[i + 3], client.online and 1 or 0, ARGV[i + 8]
     if client.foreign then return unknown() end
     local key = IDEMPOTENCY .. client.id .. '/' .. ARGV[i + 9]
     if fingerprint ~= '' then
       local given = redis.call('HMGET', key, 'fingerprint', 'id', 'created', 'expires', 'online', 'directive')
       if given[1] then
         if given[1] ~= fingerprint then return 'mismatch' end
         return { given[2], given[6], given[3], given[4], tonumber(given[5]), given[2] == id and 0 or 1 }
       end
     end
     local before = redis.call('HMGET', MESSAGE .. id, 'created_at', 'expires_at')
     if before[1] then return { id, directive, before[1], before[2], online, 0 } end
     if not client.known then return unknown() end
     if online == 0 and ARGV[i + 6] == '1' then return 'offline' end
     if client.length >= outbox_limit then return 'full' end
     if unfinished >= shard_limit then return 'shard-full' end
     local expires_text = string.format('%.0f', at + tonumber(ARGV[i + 5]))
     redis.call('HSET', MESSAGE .. id, 'client_id', client.id, 'directive', directive, 'payload', ARGV[i + 4],
       'status', 'queued', 'created_at', at_text, 'expires_at', expires_text, 'request_id', ARGV[i + 7],
       'keep', ARGV[3], 'history', 'queued ' .. at_text)
     if client.account then redis.call('HSET', MESSAGE .. id, 'account', client.account) end
     client.length = redis.call('RPUSH', client.outbox, id)
     redis.call('ZADD', EXPIRY, expires_text, id)
     unfinished = unfinished + 1
     -- In the order of acceptance, also within one call: no message is accepted in less than a microsecond.
     redis.call('ZADD', client.index, string.format('%.0f', micros + number), id)
     if client.online and not client.woken then
       redis.call('ZADD', TODO, 'NX', wake_at, client.wake)
       client.woken = true
     end
     tell(client.id, id, client.online and 'queued' or 'held')
     if fingerprint ~= '' then
       redis.call('HSET', key, 'fingerprint', fingerprint, 'id', id, 'created', at_text, 'expires', expires_text,
         'online', online, 'directive', directive)
       redis.call('PEXPIRE', key, ARGV[5])
     end
     return { id, directive, at_text, expires_text, online, 0 }
   end

   for number = 1, (#ARGV - first) / ${ACCEPT_ARGS.message} do
     replies[number] = accept(number, first + (number - 1) * ${ACCEPT_ARGS.message})
   end
   return replies`,
);
