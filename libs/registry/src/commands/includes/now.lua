-- call: redis.call.
-- at, at_text: Redis' clock in epoch milliseconds, as a number and as a text.
-- micros: Redis' clock in epoch microseconds.

--- @include "sharding/shard-log"

local call = redis.call
local seconds, since_second = log_time()
local at = seconds * 1000 + math.floor(since_second / 1000)
local micros = seconds * 1000000 + since_second
local at_text = string.format('%d', at)
