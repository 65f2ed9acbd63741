-- The finished messages of a shard. Each is in one list, in the order in which messages are forgotten: that of its payer, or if
-- only the answer to its Idempotency-Key is left, that of the answers of its payer. Both lists are named after the payer.
--
-- due_of(message): when a finished message is to be forgotten; 0 if it is not stored.
-- list_finished(list, id, message, due): appends a message to a list. `due`: if it is not that of the message.
--
-- KEYS finished_of_prefix, finished_due

--- @include "now"

-- `finished_due` has the lists by the time when their first message is to be forgotten.
local ANSWERS = 'answers:'

-- The retention begins with the last change.
local function due_of(m)
  if not m.created then return 0 end
  return m.created + m.kept + (tonumber(string.match(m.history, '%a(%-?%d+)[^\t]*$')) or 0)
end

local function list_finished(list, id, m, due)
  if call('RPUSH', KEYS.finished_of_prefix .. list, id) > 1 then return end
  call('ZADD', KEYS.finished_due, due or due_of(m), list)
end
