-- What messages weigh, and who pays for them. `cost` of a message is `<bytes>,<bytes when finished> <payer>`, and
-- `<bytes> <payer>` of a finished one.
--
-- cost_of(message): bytes, bytes when finished without its history, payer; payer is nil if nobody is charged.
-- weigh(payer, bytes): adds to what a payer's finished messages weigh, and all of the shard.
-- weigh_later(payer, bytes): the same, written by `write_costs`.
-- uncharge(message): takes what an unfinished message weighs off its client, its payer and the shard; written by `write_costs`.
-- write_costs(): writes both; a script does it at its end.
--
-- KEYS outbox_bytes, finished_bytes

--- @include "from-typescript"
--- @include "now"

-- Bytes added to what payers have finished, and bytes taken off by field of `outbox_bytes`.
local added, freed = {}, {}

local function cost_of(message)
  local bytes, kept, payer = string.match(message.cost or '', '^(%d+),?(%d*) (.*)$')
  return tonumber(bytes or 0), tonumber(kept) or FINISHED_MESSAGE_BYTES, payer
end

local function weigh(payer, bytes)
  call('ZINCRBY', KEYS.finished_bytes, bytes, '')
  call('ZINCRBY', KEYS.finished_bytes, bytes, payer)
end

local function weigh_later(payer, bytes) added[payer] = (added[payer] or 0) + bytes end

local function uncharge(message)
  local bytes, _, payer = cost_of(message)
  if not payer then return end
  for _, field in ipairs({ '', payer, 'client:' .. (message[3] or '') }) do freed[field] = (freed[field] or 0) + bytes end
end

local function write_costs()
  for payer, bytes in pairs(added) do weigh(payer, bytes) end
  local fields, left, gone = {}, {}, {}
  for field in pairs(freed) do fields[#fields + 1] = field end
  local held = #fields > 0 and call('HMGET', KEYS.outbox_bytes, unpack(fields)) or {}
  for i, field in ipairs(fields) do
    local rest = (tonumber(held[i]) or 0) - freed[field]
    if rest > 0 then left[#left + 1], left[#left + 2] = field, string.format('%.0f', rest)
    elseif held[i] then gone[#gone + 1] = field end
  end
  if #left > 0 then call('HSET', KEYS.outbox_bytes, unpack(left)) end
  if #gone > 0 then call('HDEL', KEYS.outbox_bytes, unpack(gone)) end
  added, freed = {}, {}
end
