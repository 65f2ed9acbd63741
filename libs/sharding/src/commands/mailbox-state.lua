#!lua flags=allow-oom
-- Measures a mailbox.
--
-- KEYS mailbox
-- Reply: how many entries wait, and the age of the oldest one in milliseconds

--- @include "redis-time"

local oldest = redis.call('XRANGE', KEYS.mailbox, '-', '+', 'COUNT', 1)[1]
if not oldest then return { 0, 0 } end
local since = tonumber(string.match(oldest[1], '^%d+'))
return { redis.call('XLEN', KEYS.mailbox), math.max(0, redis_ms() - since) }
