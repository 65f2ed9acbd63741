#!lua flags=allow-oom
-- When the outbound sides of shards have work, and whether anybody owns them.
--
-- KEYS shards...
--   shards: for each shard the keys `outbound-owner`, `ready` and `claimed`
-- Reply: for each shard the milliseconds that are left of the lease (-1 if nobody has it), milliseconds until there is work (-1 if
--   there is none), how many connections are ready now, and for how many milliseconds the first of them has been

--- @include "ready-in"

local reply = {}
for i = KEYS.shards, #KEYS, 3 do
  local ready = KEYS[i + 1]
  local ready_ms, oldest_ms = ready_in_ms(ready)
  local waiting = ready_ms == 0 and call('ZCOUNT', ready, '-inf', micros) or 0
  local due_ms = call('EXISTS', KEYS[i + 2]) == 1 and 0 or ready_ms
  for _, number in ipairs({ math.max(-1, call('PTTL', KEYS[i])), due_ms, waiting, oldest_ms }) do reply[#reply + 1] = number end
end
return reply
