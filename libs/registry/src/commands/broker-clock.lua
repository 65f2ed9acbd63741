#!lua flags=allow-oom
-- The key says which node of a Redis Cluster is asked.
--
-- KEYS broker
-- Reply: Redis' clock in milliseconds

--- @include "sharding/redis-time"

return redis_ms()
