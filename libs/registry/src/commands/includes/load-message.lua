-- load(id, field …): the fields of a message that other includes use (status, history, client id, retention in
--   milliseconds, account), followed by the given ones. `err` is set if the key is not a hash; `cost` is the value that
--   `message-costs.lua` describes.
--
-- KEYS message_prefix

local function load(id, ...)
  local message =
    redis.pcall('HMGET', KEYS.message_prefix .. id, 'status', 'history', 'client_id', 'keep', 'account', 'cost', ...)
  if not message.err then message.cost = table.remove(message, 6) end
  return message
end
