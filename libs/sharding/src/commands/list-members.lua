#!lua flags=allow-oom
-- Lists the members whose heartbeat is not overdue.
--
-- KEYS alive, members
-- Reply: member and announcement in turn

--- @include "redis-time"

local reply = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS.alive, '(' .. redis_ms(), '+inf', 'BYSCORE')) do
  local announced = redis.call('HGET', KEYS.members, id)
  if announced then
    reply[#reply + 1] = id
    reply[#reply + 1] = announced
  end
end
return reply
