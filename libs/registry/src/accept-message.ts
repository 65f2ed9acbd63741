/** Accepting a message: the connection is checked and the outbox appended in one script, so neither outruns the other. */
import { RedisScript } from '@app/platform';
import { MESSAGE_LUA } from './message-status.js';

/**
 * KEYS online hosts, online proxies, connections, outbox, message, expiry, todo, idempotency
 * ARGV client id, message id, directive, payload ('' for none), time to live ms, reject when offline (0/1),
 *      outbox limit, retention ms, wake to-do, wake grace ms, request id, fingerprint ('' without Idempotency-Key),
 *      idempotency retention ms
 * → 'unknown' | 'offline' | 'full' | 'mismatch'
 *   | [message id, directive, created at, expires at, online 0/1, replayed 0/1]
 */
export const acceptScript = new RedisScript<string | [string, string, string, string, number, number]>(
  'ccAccept',
  `${MESSAGE_LUA}
   local client, id, fingerprint = ARGV[1], ARGV[2], ARGV[12]
   local online = redis.call('ZSCORE', KEYS[1], client) or redis.call('ZSCORE', KEYS[2], client)
   if fingerprint ~= '' then
     local first = redis.call('HMGET', KEYS[8], 'fingerprint', 'id', 'created', 'expires', 'online', 'directive')
     if first[1] then
       if first[1] ~= fingerprint then return 'mismatch' end
       return { first[2], first[6], first[3], first[4], tonumber(first[5]), first[2] == id and 0 or 1 }
     end
   end
   local known = redis.call('HMGET', KEYS[5], 'created_at', 'expires_at')
   if known[1] then return { id, ARGV[3], known[1], known[2], online and 1 or 0, 0 } end
   if not online then
     if redis.call('HEXISTS', KEYS[3], client) == 0 then return 'unknown' end
     if ARGV[6] == '1' then return 'offline' end
   end
   if redis.call('LLEN', KEYS[4]) >= tonumber(ARGV[7]) then return 'full' end
   local at = now()
   local expires = at + tonumber(ARGV[5])
   local created_text, expires_text = string.format('%.0f', at), string.format('%.0f', expires)
   redis.call('HSET', KEYS[5], 'client_id', client, 'directive', ARGV[3], 'payload', ARGV[4], 'status', 'queued',
     'created_at', created_text, 'expires_at', expires_text, 'request_id', ARGV[11], 'history', 'queued ' .. created_text)
   redis.call('PEXPIREAT', KEYS[5], string.format('%.0f', expires + tonumber(ARGV[8])))
   redis.call('RPUSH', KEYS[4], id)
   redis.call('ZADD', KEYS[6], expires_text, id)
   if online then redis.call('ZADD', KEYS[7], 'NX', string.format('%.0f', at + tonumber(ARGV[10])), ARGV[9]) end
   if fingerprint ~= '' then
     redis.call('HSET', KEYS[8], 'fingerprint', fingerprint, 'id', id, 'created', created_text,
       'expires', expires_text, 'online', online and 1 or 0, 'directive', ARGV[3])
     redis.call('PEXPIRE', KEYS[8], ARGV[13])
   end
   return { id, ARGV[3], created_text, expires_text, online and 1 or 0, 0 }`,
);
