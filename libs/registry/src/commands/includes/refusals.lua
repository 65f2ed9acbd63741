-- Refused handshakes of a client, see `refusals.ts`. The record of an answered client is
-- `<time of the last answer>;<time of the last answer without an id>;<digest> <digest> …`.
--
-- plain(number): the number in the form in which Redis stores it.
-- next_refusal(): field and text of the refusal that may be answered now. If there is none yet, reschedules the to-do or
--   removes it, and returns 0.
--
-- KEYS waiting, answered, todo
-- ARGV client, refuse_todo

--- @include "from-typescript"
--- @include "sharding/redis-time"

-- Minimum time between two answers to messages without a readable id.
local UNREADABLE_EVERY_MS = 60000

local now = redis_ms()

local function plain(number) return string.format('%.0f', number) end

local last, unreadable, ids =
  string.match(redis.call('HGET', KEYS.answered, ARGV.client) or '0;0;', '^(%d+);(%d+);(.*)$')
last, unreadable = math.min(now, tonumber(last)), math.min(now, tonumber(unreadable))

local function next_refusal()
  local due, field, text
  for _, kind in ipairs({ REFUSED_WITH_ID, REFUSED_WITHOUT_ID }) do
    local waiting = redis.call('HGET', KEYS.waiting, kind .. ARGV.client)
    local id = waiting and string.match(waiting, '^[^\n]*')
    if id and id ~= '' and string.find(' ' .. ids .. ' ', ' ' .. id .. ' ', 1, true) then
      redis.call('HDEL', KEYS.waiting, kind .. ARGV.client)
    elseif id then
      local earliest = last > 0 and last + REFUSAL_EVERY_MS or 0
      if id == '' and unreadable > 0 then earliest = math.max(earliest, unreadable + UNREADABLE_EVERY_MS) end
      if not due or earliest < due then due, field, text = earliest, kind .. ARGV.client, waiting end
    end
  end
  if not due then
    redis.call('ZREM', KEYS.todo, ARGV.refuse_todo)
    return 0
  end
  if due > now then
    redis.call('ZADD', KEYS.todo, plain(due), ARGV.refuse_todo)
    return 0
  end
  return { field, text }
end
