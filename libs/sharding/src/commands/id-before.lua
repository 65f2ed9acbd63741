#!lua flags=allow-oom
-- Finds an id below those of all entries that were appended to a mailbox lately, or come later.
--
-- KEYS mailbox, position
-- ARGV age_ms
--   age_ms: which entries count as lately appended
-- Reply: the id of the newest entry that was ever appended, applied or not, if it is older than that, or if the clock was set
-- back since; otherwise an id of that age

--- @include "redis-time"

local last = redis.call('XREVRANGE', KEYS.mailbox, '+', '-', 'COUNT', 1)[1]
local newest = last and last[1] or redis.call('GET', KEYS.position) or '0-0'
local appended, now = tonumber(string.match(newest, '^%d+')), redis_ms()
local since = now - tonumber(ARGV.age_ms)
if appended < since or appended > now then return newest end
return string.format('%d-0', since)
