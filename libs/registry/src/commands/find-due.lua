#!lua flags=allow-oom
-- Finds the shards on which to-dos, or messages that expire, are due, so that a shard at rest costs no call of its own. The keys are
-- of several shards, so all of them must be on one Redis.
--
-- KEYS shards...
--   shards: for each shard its todo and expiry
-- Reply: the places of these shards in KEYS, from 0 on; also of shards with a key that cannot be read, which make take-due.lua fail

--- @include "sharding/redis-time"

local now = string.format('%.0f', redis_ms())

local function is_due(set) return redis.pcall('ZCOUNT', set, '-inf', now) ~= 0 end

local found = {}
for i = KEYS.shards, #KEYS, 2 do
  if is_due(KEYS[i]) or is_due(KEYS[i + 1]) then found[#found + 1] = (i - KEYS.shards) / 2 end
end
return found
