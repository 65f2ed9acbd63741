#!lua flags=allow-oom
-- Finds the shards on which to-dos, messages that expire, or messages without an answer are due, so that a shard at rest costs no
-- call of its own. The keys are of several shards, so all of them must be on one Redis.
--
-- KEYS shards...
--   shards: for each shard its todo, expiry and awaiting
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
for i = KEYS.shards, #KEYS, 3 do
  local todo, expiry, awaiting = is_due(KEYS[i]), is_due(KEYS[i + 1]), is_due(KEYS[i + 2])
  if todo or expiry or awaiting then reply[#reply + 1] = (i - KEYS.shards) / 3 end
end
if next_due < math.huge then reply[1] = math.ceil(next_due - now) end
return reply
