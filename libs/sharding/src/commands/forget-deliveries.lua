#!lua flags=allow-oom
-- Forgets a lane's deliveries to a shard, if the caller still owns the lane. They may be of a session that a newer owner has
-- resumed.
--
-- KEYS lane_fences, deliveries
-- ARGV lane, fence
-- Reply: 1, or 0 if the caller does not own the lane

local last = redis.call('HGET', KEYS.lane_fences, ARGV.lane)
if not last or string.match(last, '^(.*):%d+$') ~= ARGV.fence then return 0 end
redis.call('UNLINK', KEYS.deliveries)
return 1
