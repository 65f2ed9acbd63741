#!lua flags=allow-oom
-- Cancels a message that is queued or held.
--
-- ARGV message_id, account
--   account: the one that the caller is bound to, '' for any
-- Reply: the status that it has now ('' if it is not known), and whether it was cancelled (0/1)

--- @include "move-message"
--- @include "outbox"

return with_log(function()
  local id = ARGV.message_id
  local message = load(id)
  if ARGV.account ~= '' and message[5] ~= ARGV.account then return { '', 0 } end
  if not move(id, message, 'cancelled', 'cancelled') then return { message[1] or '', 0 } end
  remove_from_outbox(message[3], id)
  return { 'cancelled', 1 }
end, write_costs)
