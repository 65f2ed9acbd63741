#!lua flags=allow-oom
-- Fails what an outbox holds for another account than the client's. What is in flight is left to the completion of its
-- publish.
--
-- KEYS accounts, accounts_asked, connections
-- ARGV client, from
-- Reply: how many messages failed, and the position to continue from; -1 when the whole outbox has been checked

--- @include "account-check"

local LOOKED_AT = 500

return with_log(function()
  local client, from = ARGV.client, tonumber(ARGV.from)
  if call('SISMEMBER', KEYS.accounts_asked, client) == 1 then return { 0, -1 } end
  local account, is_known = call('HGET', KEYS.accounts, client), call('HEXISTS', KEYS.connections, client) == 1
  if outbox_length(client) == 0 then return { 0, -1 } end
  local ids = call('LRANGE', KEYS.outbox_prefix .. client, from, from + LOOKED_AT - 1)
  local failed = 0
  for _, id in ipairs(ids) do
    local message = load(id)
    if message[1] == 'queued' and belongs_elsewhere(message, account, is_known) then
      fail_moved(client, id, message)
      failed = failed + 1
    end
  end
  return { failed, #ids < LOOKED_AT and -1 or from + #ids - failed }
end, write_costs)
