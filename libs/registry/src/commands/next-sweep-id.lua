#!lua flags=allow-oom
-- Reserves an id for the next sweep unless it has one.
--
-- KEYS ids
-- ARGV new_id
-- Reply: the id of the sweep that begins next

redis.call('HSETNX', KEYS.ids, 'next', ARGV.new_id)
return redis.call('HGET', KEYS.ids, 'next')
