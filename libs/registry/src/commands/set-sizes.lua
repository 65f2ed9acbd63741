#!lua flags=allow-oom
-- The sizes of sorted sets of one shard.
--
-- KEYS sets...
-- Reply: the number of members of each

local sizes = {}
for i = KEYS.sets, #KEYS do sizes[#sizes + 1] = redis.call('ZCARD', KEYS[i]) end
return sizes
