-- Counts the bytes of messages by payer. A message has no payer if none was charged.
--
-- count_finished(payer, bytes, number): adds to the bytes of the finished messages of a payer and of the shard, and to the
--   number of those of the shard.
-- count_finished_later(payer, bytes, number): the same, but `write_costs` writes it.
-- count_in_flight(message, number): adds to the number of the payer's messages in flight; `write_costs` writes it.
-- uncharge(message), charge(message): subtracts the bytes of an unfinished message from those of its client, its payer and the
--   shard, or adds them; `write_costs` writes it.
-- charge_more(message, bytes, is_finished): the record of a message takes more bytes, or fewer; `write_costs` writes it.
-- write_costs(): writes the collected changes; a script calls it at its end.
--
-- KEYS outbox_bytes, finished_bytes, finished_count

--- @include "from-typescript"
--- @include "now"

-- Collected changes: bytes to add by payer, and what to subtract by field of `outbox_bytes`.
local added, freed = {}, {}
local added_number = 0

local function count_finished(payer, bytes, number)
  if number ~= 0 then call('INCRBY', KEYS.finished_count, number) end
  call('ZINCRBY', KEYS.finished_bytes, bytes, '')
  call('ZINCRBY', KEYS.finished_bytes, bytes, payer)
end

local function count_finished_later(payer, bytes, number)
  added[payer] = (added[payer] or 0) + bytes
  added_number = added_number + number
end

local function count_in_flight(message, number)
  local payer = message.payer
  if payer then freed[IN_FLIGHT_OF .. payer] = (freed[IN_FLIGHT_OF .. payer] or 0) - number end
end

local function free(message, bytes)
  if not message.payer then return end
  for _, field in ipairs({ '', message.payer, 'client:' .. (message.client or '') }) do
    freed[field] = (freed[field] or 0) + bytes
  end
end

local function uncharge(message) free(message, message.bytes) end

local function charge(message) free(message, -message.bytes) end

local function charge_more(message, bytes, is_finished)
  if not message.payer then return end
  message.bytes = message.bytes + bytes
  if is_finished then count_finished_later(message.payer, bytes, 0) else free(message, -bytes) end
end

local function write_costs()
  for payer, bytes in pairs(added) do
    count_finished(payer, bytes, added_number)
    added_number = 0
  end
  local fields, remaining, unused = {}, {}, {}
  for field, amount in pairs(freed) do
    if amount ~= 0 then fields[#fields + 1] = field end
  end
  local counted = #fields > 0 and call('HMGET', KEYS.outbox_bytes, unpack(fields)) or {}
  for i, field in ipairs(fields) do
    local amount = (tonumber(counted[i]) or 0) - freed[field]
    if amount > 0 then remaining[#remaining + 1], remaining[#remaining + 2] = field, string.format('%.0f', amount)
    elseif counted[i] then unused[#unused + 1] = field end
  end
  if #remaining > 0 then call('HSET', KEYS.outbox_bytes, unpack(remaining)) end
  if #unused > 0 then call('HDEL', KEYS.outbox_bytes, unpack(unused)) end
  added, freed = {}, {}
end
