#!lua flags=allow-oom
-- Adds fields to the marker of the key space. Existing fields are not changed.
--
-- KEYS marker
-- ARGV fields...
--   fields: field and value in turn
-- Reply: all fields and values of the marker in turn

for i = ARGV.fields, #ARGV, 2 do redis.call('HSETNX', KEYS.marker, ARGV[i], ARGV[i + 1]) end
return redis.call('HGETALL', KEYS.marker)
