#!lua flags=allow-oom
-- Finds the shards with finished messages that take-due.lua forgets. The keys are of several shards, so all of them must be on one
-- Redis.
--
-- KEYS shards...
--   shards: for each shard its owner, finished_due, finished_count, finished_bytes and former_finished
-- ARGV shards...
--   shards: for each shard the fence of the caller, kept_count and kept_bytes
-- Reply: the places of these shards in KEYS, from 0 on; also of those that another process owns, and of those with a key that cannot
--   be read, which make take-due.lua fail

--- @include "sharding/redis-time"

local KEYS_EACH, ARGS_EACH = 5, 3
local now = string.format('%.0f', redis_ms())

local function has_work(i)
  local owner, finished_due, count, bytes, former_finished = unpack(KEYS, KEYS.shards + KEYS_EACH * i, KEYS_EACH * (i + 1))
  local fence, kept_count, kept_bytes = unpack(ARGV, ARGV.shards + ARGS_EACH * i, ARGS_EACH * (i + 1))
  return redis.call('GET', owner) ~= fence
    or redis.call('ZCOUNT', finished_due, '-inf', now) > 0
    or redis.call('EXISTS', former_finished) == 1
    or tonumber(redis.call('GET', count) or 0) > tonumber(kept_count)
    or tonumber(redis.call('ZSCORE', bytes, '') or 0) > tonumber(kept_bytes)
end

local found = {}
for i = 0, #KEYS / KEYS_EACH - 1 do
  local readable, has = pcall(has_work, i)
  if has or not readable then found[#found + 1] = i end
end
return found
