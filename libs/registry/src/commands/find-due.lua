#!lua flags=allow-oom
-- Finds the shards on which to-dos, or messages that expire, are due, so that a shard at rest costs no call of its own. The keys are
-- of several shards, so all of them must be on one Redis.
--
-- KEYS shards...
--   shards: for each shard its todo and expiry
-- Reply: the milliseconds until something is due on another shard (-1: nothing is planned); then the places of the shards in KEYS,
--   from 0 on, on which something is due, or whose keys cannot be read, which makes take-due.lua fail

--- @include "sharding/redis-time"

local now = redis_ms()
local next_due = math.huge

local function is_due(set)
  local first = redis.pcall('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first.err then return true end
  local due = tonumber(first[2])
  if not due or due <= now then return due ~= nil end
  next_due = math.min(next_due, due)
  return false
end

local reply = { -1 }
for i = KEYS.shards, #KEYS, 2 do
  local todo, expiry = is_due(KEYS[i]), is_due(KEYS[i + 1])
  if todo or expiry then reply[#reply + 1] = (i - KEYS.shards) / 2 end
end
if next_due < math.huge then reply[1] = math.ceil(next_due - now) end
return reply
