-- Prevents that a message of one account goes to a client of another one. Must not be used while the account of the client
-- is being requested.
--
-- belongs_elsewhere(message, account, is_known): whether the message belongs to another account than its client, whose
--   account is `account` (false for none). The result is false for an unknown client without an account: it may register
--   again with the former one.
-- fail_moved(client, id, message): fails a message that belongs to another account.

--- @include "from-typescript"
--- @include "move-message"
--- @include "outbox"

local function belongs_elsewhere(message, account, is_known)
  if not message.account or message.account == account then return false end
  return (account or is_known) and true or false
end

local function fail_moved(client, id, message)
  move(id, message, 'failed', 'failed', ACCOUNT_MOVED)
  remove_from_outbox(client, id)
end
