#!lua flags=allow-oom
-- Puts connections with held messages among those: an older release has accepted messages without that. Looks at some of the unfinished
-- messages.
--
-- KEYS owner, expiry
-- ARGV fence, from, count
-- Reply: the number of messages that were checked; -1 if the caller is not the owner

--- @include "held-connections"

if call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local ids = call('ZRANGE', KEYS.expiry, ARGV.from, ARGV.from + ARGV.count - 1)
local seen = {}
for _, id in ipairs(ids) do
  local client = load(id).client
  if client and not seen[client] then
    seen[client] = true
    if call('EXISTS', KEYS.outbox_prefix .. client) == 1 and is_held(client) then add_held(client) end
  end
end
return #ids
