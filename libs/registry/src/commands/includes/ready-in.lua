-- ready_in_ms(ready): milliseconds until the first connection in a set of ready ones may be taken, -1 if none will be; and for how many
-- milliseconds it could have been taken already. Connections with a message in flight have the time `inf`.

--- @include "now"

local function ready_in_ms(ready)
  local first = call('ZRANGE', ready, 0, 0, 'WITHSCORES')[2]
  if not first or first == 'inf' then return -1, 0 end
  local ms = math.ceil((first - micros) / 1000)
  return math.max(0, ms), math.max(0, -ms)
end
