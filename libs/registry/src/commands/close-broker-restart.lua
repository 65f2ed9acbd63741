#!lua flags=allow-oom
-- Closes a restart of the broker after an ingester has acted on it.
--
-- KEYS broker
-- ARGV run
-- Reply: whether the restart was open (0/1)

if redis.call('HGET', KEYS.broker, 'run') ~= ARGV.run then return 0 end
return redis.call('HDEL', KEYS.broker, 'restart')
