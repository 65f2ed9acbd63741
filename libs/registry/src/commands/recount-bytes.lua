#!lua flags=allow-oom
-- Recounts the bytes of unfinished messages, those that await an answer included, and the messages in flight. The counters are exact
-- unless a record was lost or became unreadable: its bytes stay counted until the next recount.
--
-- KEYS owner, expiry, awaiting
-- ARGV fence
-- Reply: 1 if the bytes were recounted, 2 if there are too many messages for one script, 0 if the caller is not the owner

--- @include "message-record"
--- @include "message-costs"

-- With this limit the script takes some ten milliseconds at most.
local MAX_MESSAGES = 20000
local BATCH = 500

if call('GET', KEYS.owner) ~= ARGV.fence then return 0 end
if call('ZCARD', KEYS.expiry) + call('ZCARD', KEYS.awaiting) > MAX_MESSAGES then return 2 end
local sums = {}
local function add(field, bytes) sums[field] = (sums[field] or 0) + bytes end
for _, set in ipairs({ KEYS.expiry, KEYS.awaiting }) do
  for from = 0, call('ZCARD', set), BATCH do
    for _, id in ipairs(call('ZRANGE', set, from, from + BATCH - 1)) do
      local message = load(id)
      if message.payer and message.client then
        add('', message.bytes)
        add(message.payer, message.bytes)
        add('client:' .. message.client, message.bytes)
        if message.status == 'in_flight' then add(IN_FLIGHT_OF .. message.payer, 1) end
      end
    end
  end
end
call('DEL', KEYS.outbox_bytes)
for field, bytes in pairs(sums) do call('HSET', KEYS.outbox_bytes, field, string.format('%.0f', bytes)) end
return 1
