#!lua flags=allow-oom
-- Counts the held messages of clients.
--
-- ARGV clients...
-- Reply: the number of held messages of each client

--- @include "held"

local counts = {}
for i = ARGV.clients, #ARGV do
  local id = ARGV[i]
  local length = redis.pcall('LLEN', KEYS.outbox_prefix .. id)
  counts[i] = type(length) == 'number' and length > 0 and is_held(id) and length or 0
end
return counts
