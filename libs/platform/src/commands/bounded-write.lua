#!lua flags=allow-oom
-- Runs one write command, also when Redis has reached its `maxmemory`. The caller says that the write is bounded.
--
-- KEYS key
-- ARGV command, values...
-- Reply: that of the command

return redis.call(ARGV.command, KEYS.key, unpack(ARGV, ARGV.values))
