#!lua flags=allow-oom
-- When the outbound sides of shards have work, and whether anybody owns them.
--
-- KEYS shards...
--   shards: for each shard the keys `outbound-owner`, `ready` and `claimed`
-- Reply: for each shard the milliseconds that are left of the lease (-1 if nobody has it), and milliseconds until there is work
--   (-1 if there is none)

--- @include "ready-in"

local reply = {}
for i = KEYS.shards, #KEYS, 3 do
  local due_ms = call('EXISTS', KEYS[i + 2]) == 1 and 0 or ready_in_ms(KEYS[i + 1])
  reply[#reply + 1], reply[#reply + 2] = math.max(-1, call('PTTL', KEYS[i])), due_ms
end
return reply
