#!lua flags=allow-oom
-- Runs one write command even if Redis has reached its `maxmemory`. The caller keeps the written key bounded.
--
-- KEYS key
-- ARGV command, values...
-- Reply: the command's reply

return redis.call(ARGV.command, KEYS.key, unpack(ARGV, ARGV.values))
