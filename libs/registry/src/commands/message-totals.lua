#!lua flags=allow-oom
-- What a shard has of messages now: sizes of sets, and the counters of the budgets.
--
-- KEYS expiry, awaiting, claimed, held, outbox_bytes, finished_bytes, finished_count, finished_of_prefix
-- ARGV payer
--   payer: '' for all messages of the shard, otherwise those of a payer
-- Reply by name: unfinished, awaiting, connections_claimed, connections_held (each -1 for a payer), in_flight (-1 for all),
--   unfinished_bytes, finished, finished_bytes

--- @include "from-typescript"

local call, payer = redis.call, ARGV.payer
local is_all = payer == ''
local function of_all(command, key) return is_all and call(command, key) or -1 end
local bytes, in_flight = unpack(call('HMGET', KEYS.outbox_bytes, payer, IN_FLIGHT_OF .. payer))
return {
  'unfinished', of_all('ZCARD', KEYS.expiry), 'awaiting', of_all('ZCARD', KEYS.awaiting),
  'connections_claimed', of_all('SCARD', KEYS.claimed), 'connections_held', of_all('ZCARD', KEYS.held),
  'in_flight', is_all and -1 or tonumber(in_flight) or 0, 'unfinished_bytes', tonumber(bytes) or 0,
  'finished', is_all and tonumber(call('GET', KEYS.finished_count) or 0) or call('LLEN', KEYS.finished_of_prefix .. payer),
  'finished_bytes', tonumber(call('ZSCORE', KEYS.finished_bytes, payer) or 0),
}
