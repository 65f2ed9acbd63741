#!lua flags=allow-oom
-- Reads the names of a lane's last deliveries to a shard, if the caller still owns the lane.
--
-- KEYS lane_fences, deliveries
-- ARGV lane, fence
-- Reply: the sequence of the last batch that was appended, and a list of the names in their order; false if the caller does
--   not own the lane

local last = redis.call('HGET', KEYS.lane_fences, ARGV.lane)
local fence, sequence = string.match(last or '', '^(.*):(%d+)$')
if fence ~= ARGV.fence then return false end
return { sequence, redis.call('LRANGE', KEYS.deliveries, 0, -1) }
