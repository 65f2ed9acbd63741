#!lua flags=allow-oom
-- Cancels a message that is queued or held.
--
-- ARGV message_id, account
--   account: the account to which the caller is bound, '' for none
-- Reply: the message's status ('' if the message is unknown), and whether this call cancelled it (0/1)

--- @include "move-message"
--- @include "outbox"

return with_log(function()
  local id = ARGV.message_id
  local message = load(id)
  if ARGV.account ~= '' and message.account ~= ARGV.account then return { '', 0 } end
  if not move(id, message, 'cancelled', 'cancelled') then return { message.status or '', 0 } end
  remove_from_outbox(message.client, id)
  return { 'cancelled', 1 }
end, write_costs)
