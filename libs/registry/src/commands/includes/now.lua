-- call: redis.call.
-- at, at_text: Redis' clock in epoch milliseconds, as a number and as a text.
-- micros: Redis' clock in epoch microseconds.

--- @include "sharding/shard-log"

local call = redis.call
local time = log_time()
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]
local at_text = string.format('%.0f', at)
