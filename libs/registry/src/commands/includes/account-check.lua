-- Whether a message may go to a client, given whose both are. Not to be asked while the client's account is being asked for.
--
-- belongs_elsewhere(message, account, is_known): whether the message must never go to its client, whose account is `account`
--   (false for none). A client that is not known has no account yet: it may come back with the old one.
-- fail_moved(client, id, message): fails such a message.

--- @include "from-typescript"
--- @include "move-message"
--- @include "outbox"

local function belongs_elsewhere(message, account, is_known)
  if not message[5] or message[5] == account then return false end
  return (account or is_known) and true or false
end

local function fail_moved(client, id, message)
  move(id, message, 'failed', 'failed', ACCOUNT_MOVED)
  remove_from_outbox(client, id)
end
