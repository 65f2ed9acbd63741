#!lua flags=allow-oom
-- Announces a lane's new owner to a shard: from now on the shard refuses appends of older owners.
--
-- KEYS lane_marks
-- ARGV lane, epoch, fence
-- Reply: 1, or 0 if a newer owner has announced itself

local mark = redis.call('HGET', KEYS.lane_marks, ARGV.lane)
if mark then
  if tonumber(ARGV.epoch) < tonumber(string.match(mark, '^%d+')) then return 0 end
  if string.match(mark, '^(.*):%d+$') == ARGV.fence then return 1 end
end
redis.call('HSET', KEYS.lane_marks, ARGV.lane, ARGV.fence .. ':0')
return 1
