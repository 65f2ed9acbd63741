#!lua flags=allow-oom
-- Remembers what sweeps have passed on for clients that never registered.
--
-- KEYS passed_on
-- ARGV now, kept_ms, most, digests...
-- Reply: 1

for i = ARGV.digests, #ARGV do redis.call('ZADD', KEYS.passed_on, ARGV.now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS.passed_on, '-inf', '(' .. ARGV.now - ARGV.kept_ms)
redis.call('ZREMRANGEBYRANK', KEYS.passed_on, 0, -1 - ARGV.most)
return redis.call('PEXPIRE', KEYS.passed_on, ARGV.kept_ms)
