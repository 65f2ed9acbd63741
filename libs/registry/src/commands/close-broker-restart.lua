#!lua flags=allow-oom
-- A restart of the broker was acted on.
--
-- KEYS broker
-- ARGV run
-- Reply: 1 if it was open

if redis.call('HGET', KEYS.broker, 'run') ~= ARGV.run then return 0 end
return redis.call('HDEL', KEYS.broker, 'restart')
