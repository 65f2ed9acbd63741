#!lua flags=allow-oom
-- Adds counts to those of the current minute.
--
-- KEYS minutes
-- ARGV kept_ms, counts...
--   kept_ms: how long the hash is kept after its last change
--   counts: name and count in turn

--- @include "sharding/redis-time"
--- @include "sharding/minute-counts"

local counts = {}
for i = ARGV.counts, #ARGV, 2 do counts[ARGV[i]] = tonumber(ARGV[i + 1]) end
add_minute_counts(KEYS.minutes, redis_ms() / 1000, counts)
redis.call('PEXPIRE', KEYS.minutes, ARGV.kept_ms)
