#!lua flags=allow-oom
-- KEYS mailbox
-- Reply: how many entries wait, and for how many milliseconds the oldest of them has been waiting

--- @include "redis-time"

local oldest = redis.call('XRANGE', KEYS.mailbox, '-', '+', 'COUNT', 1)[1]
if not oldest then return { 0, 0 } end
local since = tonumber(string.match(oldest[1], '^%d+'))
return { redis.call('XLEN', KEYS.mailbox), math.max(0, redis_ms() - since) }
