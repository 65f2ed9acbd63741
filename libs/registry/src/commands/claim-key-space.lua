#!lua flags=allow-oom
-- Writes the marker of the key space if the key space is new.
--
-- KEYS marker
-- ARGV fields...
--   fields: field and value in turn
-- Reply: all fields and values of the marker in turn

if redis.call('HEXISTS', KEYS.marker, 'id') == 0 then redis.call('HSET', KEYS.marker, unpack(ARGV, ARGV.fields)) end
return redis.call('HGETALL', KEYS.marker)
