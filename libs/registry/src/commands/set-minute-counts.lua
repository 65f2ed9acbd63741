#!lua flags=allow-oom
-- Sets counts of the current minute, unless another process has set some of it.
--
-- KEYS minutes
-- ARGV kept_ms, counts...
--   kept_ms: how long the hash is kept after its last change
--   counts: name and count in turn

--- @include "sharding/redis-time"
--- @include "sharding/minute-counts"

local minute = math.floor(redis_ms() / 60000)
local fields = {}
for i = ARGV.counts, #ARGV, 2 do
  fields[#fields + 1], fields[#fields + 2] = minute .. ' ' .. ARGV[i], ARGV[i + 1]
end
if redis.call('HSETNX', KEYS.minutes, fields[1], fields[2]) == 0 then return end
redis.call('HSET', KEYS.minutes, unpack(fields))
remove_old_minutes(KEYS.minutes, minute)
redis.call('PEXPIRE', KEYS.minutes, ARGV.kept_ms)
