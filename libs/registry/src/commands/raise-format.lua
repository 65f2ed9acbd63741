#!lua flags=allow-oom
-- Raises the format in the marker of the key space.
--
-- KEYS marker
-- ARGV format, hash, hash_and_format
-- Reply: whether the marker named a lower format (0/1)

if tonumber(redis.call('HGET', KEYS.marker, 'format') or 1) >= tonumber(ARGV.format) then return 0 end
redis.call('HSET', KEYS.marker, 'format', ARGV.format, 'hash', ARGV.hash, 'hash_version', ARGV.hash_and_format)
return 1
