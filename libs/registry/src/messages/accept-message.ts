/**
 * Accepting messages of one shard: each connection is checked and its outbox appended in one script, so neither
 * outruns the other. A message that is refused changes nothing for the others.
 */
import { RedisScript } from '@app/platform';
import { MESSAGE_BYTES } from './byte-budget.js';
import { FINISHED_MESSAGE_BYTES, messageScript, OF_MESSAGES } from './message-script.js';
import { WAKE_TODO } from './wake-todo.js';

/** Refused, or `[message id, directive, created at, expires at, online 0/1, replayed 0/1]`. */
export type AcceptReply =
  | 'unknown'
  | 'building'
  | 'offline'
  | 'full'
  | 'shard-full'
  | 'account-full'
  | 'storage-full'
  | 'mismatch'
  | [id: string, directive: string, createdAt: string, expiresAt: string, online: number, replayed: number];

/** Arguments of `acceptScript` before the messages, and for each message. */
const ACCEPT_ARGS = { head: 10, message: 9 } as const;

/**
 * How long a gateway that has been told to wake a dispatcher is trusted to do so: after it, the next message of the shard
 * has one woken as well.
 */
const WAKING_MS = 1000;

/** What the answer to an Idempotency-Key takes in Redis beside the names of its message and of its own key. */
const REPLAY_BYTES = 224;

/**
 * KEYS `ofMessages`, swept
 * ARGV outbox limit, shard limit, retention ms, wake grace ms, idempotency retention ms, account the caller is bound to
 *      ('' for none), bytes of an outbox, bytes of the shard, who pays, why nothing may be stored ('' where it may),
 *      then for each message: client id, message id, directive, payload ('' for none), time to live ms,
 *      reject when offline (0/1), request id, fingerprint ('' without Idempotency-Key), Idempotency-Key;
 *      at most 1,000 messages, as many as fit on the stack of Lua twice
 * → whether the caller is to wake a dispatcher for the shard (0/1), and an `AcceptReply` for each message
 */
export const acceptScript = new RedisScript<[wake: number, ...AcceptReply[]]>(
  'ccAccept',
  messageScript(`
   local outbox_limit, shard_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
   local outbox_bytes, shard_bytes, payer, refuse = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
   local wake_at = string.format('%.0f', at + tonumber(ARGV[4]))
   local unfinished = call('ZCARD', EXPIRY)
   local ids, clients, expiries, woken, queued, replies = {}, {}, {}, {}, false, { 0 }

   local function unknown() return call('EXISTS', KEYS[${OF_MESSAGES + 1}]) == 1 and 'unknown' or 'building' end

   for i = ${ACCEPT_ARGS.head + 1}, #ARGV, ${ACCEPT_ARGS.message} do
     local id = ARGV[i]
     if not clients[id] then
       ids[#ids + 1] = id
       clients[id] = { id = id, outbox = OUTBOX .. id, index = MESSAGES .. id }
     end
   end
   local accounts, hosts = call('HMGET', ACCOUNTS, unpack(ids)), call('ZMSCORE', HOSTS, unpack(ids))
   local draining = call('SMISMEMBER', DRAINING, unpack(ids))
   local weights = { '', payer }
   for i, id in ipairs(ids) do weights[i + 2] = 'client:' .. id end
   local held = call('HMGET', OUTBOX_BYTES, unpack(weights))
   local in_shard, of_payer = tonumber(held[1]) or 0, tonumber(held[2]) or 0
   -- Who has nothing yet may always have one message, however small the budget is.
   local function exceeds(bytes, more, limit) return bytes > 0 and bytes + more > limit end
   for i, id in ipairs(ids) do
     local client = clients[id]
     client.account = accounts[i]
     client.foreign = ARGV[6] ~= '' and client.account ~= ARGV[6]
     client.online = hosts[i] or call('ZSCORE', PROXIES, id)
     client.known = client.online or call('HEXISTS', CONNECTIONS, id) == 1
     client.length = outbox_length(id)
     client.bytes = tonumber(held[i + 2]) or 0
     -- The run that has it will find the message.
     client.woken = draining[i] == 1
   end

   -- An answer about a message that was accepted for another account than the client's is none to whoever asks now. Answers
   -- of earlier releases do not name the account; their messages do, while they are kept.
   local function of_another_account(client, id, account)
     if not client.account then return false end
     account = account or call('HGET', MESSAGE .. id, 'account') or ''
     return account ~= client.account and (account ~= '' or ARGV[6] ~= '')
   end

   local function accept(number, i)
     local client = clients[ARGV[i + 1]]
     local id, directive, online, fingerprint = ARGV[i + 2], ARGV[i + 3], client.online and 1 or 0, ARGV[i + 8]
     if client.foreign then return unknown() end
     local key = IDEMPOTENCY .. client.id .. '/' .. ARGV[i + 9]
     if fingerprint ~= '' then
       local given = redis.pcall('HMGET', key, 'fingerprint', 'id', 'created', 'expires', 'online', 'directive', 'account')
       if given.err then call('UNLINK', key) end
       if given[1] and not of_another_account(client, given[2], given[7]) then
         if given[1] ~= fingerprint then return 'mismatch' end
         -- Repeated after a lost reply: with it, the word to wake somebody was lost.
         if given[2] == id and client.online then replies[1] = 1 end
         return { given[2], given[6], given[3], given[4], tonumber(given[5]), given[2] == id and 0 or 1 }
       end
     end
     local before = call('HMGET', MESSAGE .. id, 'created_at', 'expires_at')
     if before[1] then
       if client.online then replies[1] = 1 end
       return { id, directive, before[1], before[2], online, 0 }
     end
     if not client.known then return unknown() end
     if online == 0 and ARGV[i + 6] == '1' then return 'offline' end
     if refuse ~= '' then return refuse end
     local bytes = ${MESSAGE_BYTES} + #directive + #ARGV[i + 4] + (fingerprint ~= '' and #key or 0)
     local replay = fingerprint ~= '' and ${REPLAY_BYTES} + #key + #(client.account or '') or 0
     local kept = ${FINISHED_MESSAGE_BYTES} + #directive + #client.id + replay
     if client.length >= outbox_limit or exceeds(client.bytes, bytes, outbox_bytes) then return 'full' end
     if unfinished >= shard_limit or exceeds(in_shard, bytes, shard_bytes) then return 'shard-full' end
     if exceeds(of_payer, bytes, shard_bytes / 2) then return 'account-full' end
     local expires_text = string.format('%.0f', at + tonumber(ARGV[i + 5]))
     local fields = { 'client_id', client.id, 'directive', directive, 'payload', ARGV[i + 4], 'status', 'queued',
       'created_at', at_text, 'expires_at', expires_text, 'request_id', ARGV[i + 7], 'keep', ARGV[3],
       'history', 'queued ' .. at_text, 'cost', string.format('%.0f,%.0f ', bytes, kept) .. payer }
     if client.account then
       fields[#fields + 1], fields[#fields + 2] = 'account', client.account
     end
     if fingerprint ~= '' then
       fields[#fields + 1], fields[#fields + 2] = 'idempotency', ARGV[i + 9]
     end
     call('HSET', MESSAGE .. id, unpack(fields))
     client.length = call('RPUSH', client.outbox, id)
     expiries[#expiries + 1], expiries[#expiries + 2] = expires_text, id
     unfinished = unfinished + 1
     client.bytes, in_shard, of_payer = client.bytes + bytes, in_shard + bytes, of_payer + bytes
     -- In the order of acceptance, also within one call: no message is accepted in less than a microsecond.
     call('ZADD', client.index, string.format('%.0f', micros + number), id)
     queued = queued or client.online
     if client.online and not client.woken then
       client.woken = true
       woken[#woken + 1], woken[#woken + 2] = micros, client.id
     end
     tell(client.id, client.account, id, client.online and 'queued' or 'held')
     if fingerprint ~= '' then
       call('HSET', key, 'fingerprint', fingerprint, 'id', id, 'created', at_text, 'expires', expires_text,
         'online', online, 'directive', directive, 'account', client.account or '')
       call('PEXPIRE', key, ARGV[5])
     end
     return { id, directive, at_text, expires_text, online, 0 }
   end

   for number = 1, (#ARGV - ${ACCEPT_ARGS.head}) / ${ACCEPT_ARGS.message} do
     replies[number + 1] = accept(number, ${ACCEPT_ARGS.head} + (number - 1) * ${ACCEPT_ARGS.message})
   end
   if #expiries > 0 then
     call('ZADD', EXPIRY, unpack(expiries))
     local written = { '', string.format('%.0f', in_shard), payer, string.format('%.0f', of_payer) }
     for i, id in ipairs(ids) do
       if clients[id].bytes > (tonumber(held[i + 2]) or 0) then
         written[#written + 1], written[#written + 2] = weights[i + 2], string.format('%.0f', clients[id].bytes)
       end
     end
     call('HSET', OUTBOX_BYTES, unpack(written))
   end
   if #woken > 0 then call('ZADD', WOKEN, 'LT', unpack(woken)) end
   if queued then
     call('ZADD', TODO, 'LT', wake_at, '${WAKE_TODO}')
     -- No dispatcher has to be woken while one drains the shard, or somebody else is about to wake one.
     if call('EXISTS', DRAINING) == 0 and call('SET', WAKING, 1, 'NX', 'PX', ${WAKING_MS}) then replies[1] = 1 end
   end
   return replies`),
  { whenFull: 'refuse' },
);
