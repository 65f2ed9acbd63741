#!lua flags=allow-oom
-- Charges unfinished messages that an older release accepted. A message is charged once, however often this runs.
--
-- KEYS owner, expiry
-- ARGV fence, from, count
-- Reply: the number of messages that were checked; -1 if the caller is not the owner

--- @include "load-message"
--- @include "message-costs"

if call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local ids = call('ZRANGE', KEYS.expiry, ARGV.from, ARGV.from + ARGV.count - 1)
for _, id in ipairs(ids) do
  local message = load(id, 'directive', 'payload')
  if not message.err and message[3] and not message.cost and (message[1] == 'queued' or message[1] == 'in_flight') then
    local bytes = MESSAGE_BYTES + #(message[6] or '') + #(message[7] or '')
    local payer = message[5] and 'account:' .. message[5] or UNKNOWN_PAYER
    call('HSET', KEYS.message_prefix .. id, 'cost', string.format('%.0f', bytes) .. ' ' .. payer)
    for _, field in ipairs({ '', payer, 'client:' .. message[3] }) do
      call('HINCRBY', KEYS.outbox_bytes, field, bytes)
    end
  end
end
return #ids
