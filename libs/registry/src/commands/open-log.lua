#!lua flags=allow-oom
-- KEYS log
-- Reply: the newest id of a shard's log, raised to the time of Redis

--- @include "sharding/shard-log"

return log_raise(KEYS.log)
