#!lua flags=allow-oom
-- Sets the counters of unfinished messages' bytes right. They are exact unless a record was lost or cannot be read: what it
-- weighed stays counted until then.
--
-- KEYS owner, expiry
-- ARGV fence
-- Reply: 0 if the caller is not the owner, 1 recounted, 2 too many messages to do it at once

--- @include "load-message"
--- @include "message-costs"

-- One script, of a few ten milliseconds at most.
local RECOUNTED_AT_MOST = 20000
local READ_AT_ONCE = 500

if call('GET', KEYS.owner) ~= ARGV.fence then return 0 end
if call('ZCARD', KEYS.expiry) > RECOUNTED_AT_MOST then return 2 end
local sums = {}
local function add(field, bytes) sums[field] = (sums[field] or 0) + bytes end
for from = 0, RECOUNTED_AT_MOST, READ_AT_ONCE do
  for _, id in ipairs(call('ZRANGE', KEYS.expiry, from, from + READ_AT_ONCE - 1)) do
    local message = load(id)
    local bytes, _, payer = cost_of(message)
    if payer and message[3] then
      add('', bytes)
      add(payer, bytes)
      add('client:' .. message[3], bytes)
    end
  end
end
call('DEL', KEYS.outbox_bytes)
for field, bytes in pairs(sums) do call('HSET', KEYS.outbox_bytes, field, string.format('%.0f', bytes)) end
return 1
