#!lua flags=allow-oom
-- Charges unfinished messages that an older release accepted, whose processes still read them. A message is charged once,
-- however often this runs.
--
-- KEYS owner, expiry
-- ARGV fence, from, count
-- Reply: the number of messages that were checked; -1 if the caller is not the owner

--- @include "message-record"
--- @include "message-costs"

if call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local ids = call('ZRANGE', KEYS.expiry, ARGV.from, ARGV.from + ARGV.count - 1)
for _, id in ipairs(ids) do
  local m = load(id)
  if m.client and not m.payer and not fault_of(m) and (m.status == 'queued' or m.status == 'in_flight') then
    m.bytes = MESSAGE_BYTES + #m.directive + #m.payload
    m.payer = m.account and 'account:' .. m.account or UNKNOWN_PAYER
    local charged = redis.pcall('HSET', KEYS.message_prefix .. id, 'cost', plain(m.bytes) .. ' ' .. m.payer)
    -- A message that has changed since is a text.
    if type(charged) == 'table' then save(id, m) end
    for _, field in ipairs({ '', m.payer, 'client:' .. m.client }) do
      call('HINCRBY', KEYS.outbox_bytes, field, m.bytes)
    end
  end
end
return #ids
