#!lua flags=allow-oom
-- Remembers the retained messages of unregistered clients that a sweep has reported.
--
-- KEYS reported
-- ARGV now, kept_ms, most, digests...
-- Reply: 1

for i = ARGV.digests, #ARGV do redis.call('ZADD', KEYS.reported, ARGV.now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS.reported, '-inf', '(' .. ARGV.now - ARGV.kept_ms)
redis.call('ZREMRANGEBYRANK', KEYS.reported, 0, -1 - ARGV.most)
return redis.call('PEXPIRE', KEYS.reported, ARGV.kept_ms)
