#!lua flags=allow-oom
-- Fails queued messages of an outbox that were accepted for another account than the client's. Skips messages in flight:
-- their publish completes them.
--
-- KEYS accounts, accounts_asked, connections
-- ARGV client, from
-- Reply: the number of messages that failed, and the position to continue from, or -1 if the whole outbox was checked

--- @include "account-check"

local BATCH = 500

return with_log(function()
  local client, from = ARGV.client, tonumber(ARGV.from)
  if call('SISMEMBER', KEYS.accounts_asked, client) == 1 then return { 0, -1 } end
  local account, is_known = call('HGET', KEYS.accounts, client), call('HEXISTS', KEYS.connections, client) == 1
  if outbox_length(client) == 0 then return { 0, -1 } end
  local ids = call('LRANGE', KEYS.outbox_prefix .. client, from, from + BATCH - 1)
  local failed = 0
  for _, id in ipairs(ids) do
    local message = load(id)
    if message.status == 'queued' and belongs_elsewhere(message, account, is_known) then
      fail_moved(client, id, message)
      failed = failed + 1
    end
  end
  return { failed, #ids < BATCH and -1 or from + #ids - failed }
end, write_costs)
