#!lua flags=allow-oom
-- Finds the shards on which take-due.lua has something to do, so that a shard at rest costs no call of its own. The keys are of
-- several shards, so all of them must be on one Redis.
--
-- KEYS shards...
--   shards: for each shard its owner, todo, expiry, finished_due, finished_count, finished_bytes and former_finished
-- ARGV shards...
--   shards: for each shard the fence of the caller, kept_count and kept_bytes
-- Reply: for each shard 1 if something is due or another process is its owner, otherwise 0

--- @include "sharding/redis-time"

local KEYS_EACH, ARGS_EACH = 7, 3
local now = redis_ms()

local function is_due(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[1] ~= nil and tonumber(first[2]) <= now
end

local function has_work(i)
  local owner, todo, expiry, finished_due, count, bytes, former_finished = unpack(KEYS, KEYS.shards + KEYS_EACH * i, KEYS_EACH * (i + 1))
  local fence, kept_count, kept_bytes = unpack(ARGV, ARGV.shards + ARGS_EACH * i, ARGS_EACH * (i + 1))
  return redis.call('GET', owner) ~= fence
    or is_due(todo)
    or is_due(expiry)
    or is_due(finished_due)
    or redis.call('EXISTS', former_finished) == 1
    or tonumber(redis.call('GET', count) or 0) > tonumber(kept_count)
    or tonumber(redis.call('ZSCORE', bytes, '') or 0) > tonumber(kept_bytes)
end

local reply = {}
for i = 0, #KEYS / KEYS_EACH - 1 do
  -- A key that cannot be read makes take-due.lua fail, for its shard only.
  local readable, found = pcall(has_work, i)
  reply[i + 1] = (found or not readable) and 1 or 0
end
return reply
