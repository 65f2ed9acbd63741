#!lua flags=allow-oom
-- Reads the clock of the node that stores `KEYS.broker`.
--
-- KEYS broker
-- Reply: Redis' clock in milliseconds

--- @include "sharding/redis-time"

return redis_ms()
