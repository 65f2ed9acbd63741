#!lua flags=allow-oom
-- Begins a sweep. A sweep that did not end begins again under the same id.
--
-- KEYS ids
-- ARGV new_id
-- Reply: the id of the sweep that begins now

local current = redis.call('HGET', KEYS.ids, 'current')
if current then return current end
local id = redis.call('HGET', KEYS.ids, 'next') or ARGV.new_id
redis.call('HDEL', KEYS.ids, 'next')
redis.call('HSET', KEYS.ids, 'current', id)
return id
