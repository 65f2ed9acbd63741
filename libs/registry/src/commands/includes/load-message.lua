-- load(id, field …): the fields of a message that other functions need (status, history, client id, milliseconds to keep it
-- when finished, account), and then these; `err` if it is no hash, `cost` as in `message-costs.lua`.
--
-- KEYS message_prefix

local function load(id, ...)
  local message =
    redis.pcall('HMGET', KEYS.message_prefix .. id, 'status', 'history', 'client_id', 'keep', 'account', 'cost', ...)
  if not message.err then message.cost = table.remove(message, 6) end
  return message
end
