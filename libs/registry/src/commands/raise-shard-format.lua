#!lua flags=allow-oom
-- Records the format of a shard.
--
-- KEYS owner, format
-- ARGV fence, to
-- Reply: 1 if the format was written, 0 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return 0 end
redis.call('SET', KEYS.format, ARGV.to)
return 1
