#!lua flags=allow-oom
-- Ends a sweep and stores its record.
--
-- KEYS last, ended, ids
-- ARGV id, record, most_records, kept_ms
-- Reply: whether a caller waits for the next sweep (0/1)

redis.call('SET', KEYS.last, ARGV.record, 'PX', ARGV.kept_ms)
redis.call('LPUSH', KEYS.ended, ARGV.record)
redis.call('LTRIM', KEYS.ended, 0, ARGV.most_records - 1)
redis.call('PEXPIRE', KEYS.ended, ARGV.kept_ms)
if redis.call('HGET', KEYS.ids, 'current') == ARGV.id then redis.call('HDEL', KEYS.ids, 'current') end
return redis.call('HEXISTS', KEYS.ids, 'next')
