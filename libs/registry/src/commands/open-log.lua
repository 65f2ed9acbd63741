#!lua flags=allow-oom
-- Raises the newest id of a shard's log to Redis' clock.
--
-- KEYS log
-- Reply: the newest id

--- @include "sharding/shard-log"

return log_raise(KEYS.log)
