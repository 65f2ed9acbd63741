#!lua flags=allow-oom
-- Announces a lane's new owner to a shard. From then on the shard refuses appends of older owners.
--
-- KEYS lane_fences
-- ARGV lane, epoch, fence
-- Reply: 1, or 0 if a newer owner has announced itself

local last = redis.call('HGET', KEYS.lane_fences, ARGV.lane)
if last then
  if tonumber(ARGV.epoch) < tonumber(string.match(last, '^%d+')) then return 0 end
  if string.match(last, '^(.*):%d+$') == ARGV.fence then return 1 end
end
redis.call('HSET', KEYS.lane_fences, ARGV.lane, ARGV.fence .. ':0')
return 1
