#!lua flags=allow-oom
-- When the outbound sides of shards have work, and whether anybody owns them.
--
-- KEYS shards...
--   shards: for each shard the keys `outbound-owner`, `ready` and `claimed`
-- Reply: for each shard the milliseconds that are left of the lease (-1 if nobody has it), and milliseconds until there is work
--   (-1 if there is none)

--- @include "now"

local reply = {}
for i = KEYS.shards, #KEYS, 3 do
  local lease_ms, due_ms = call('PTTL', KEYS[i]), -1
  if call('EXISTS', KEYS[i + 2]) == 1 then due_ms = 0
  else
    local first = call('ZRANGE', KEYS[i + 1], 0, 0, 'WITHSCORES')[2]
    if first and first ~= 'inf' then due_ms = math.max(0, math.ceil((first - micros) / 1000)) end
  end
  reply[#reply + 1], reply[#reply + 2] = math.max(-1, lease_ms), due_ms
end
return reply
