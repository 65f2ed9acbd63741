#!lua flags=allow-oom
-- ARGV clients...
-- Reply: how many messages are held for each client

--- @include "held"

local counts = {}
for i = ARGV.clients, #ARGV do
  local id = ARGV[i]
  local waiting = redis.pcall('LLEN', KEYS.outbox_prefix .. id)
  counts[i] = type(waiting) == 'number' and waiting > 0 and is_held(id) and waiting or 0
end
return counts
