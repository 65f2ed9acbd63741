#!lua flags=allow-oom
-- Applies a client's `message-error`: the message becomes `failed` if it was claimed for this client at least once.
--
-- KEYS accounts
-- ARGV client, message_id, details, unmatched_event
--   unmatched_event: the event to append if no message of the client matches; '' for none
-- Reply: 'failed', 'repeated', 'unknown', 'foreign' or 'not-published'

--- @include "claims-ahead"
--- @include "outbox"

return with_log(function()
  local client, id = ARGV.client, ARGV.message_id
  local message = load(id)
  local account = call('HGET', KEYS.accounts, client)
  if message.client ~= client or (message.account and message.account ~= account) then
    if ARGV.unmatched_event ~= '' then append_refusal(ARGV.unmatched_event, account) end
    return message.client and 'foreign' or 'unknown'
  end
  if message.status == 'failed' then return 'repeated' end
  -- The message may have reached the client even if its claim was given back.
  local was_claimed = message.status == 'in_flight' or message.status == 'sent' or (message.attempts or 0) >= 1
  if not was_claimed then return 'not-published' end
  note_publish(id, message, at_text)
  if move(id, message, 'failed', 'failed', ARGV.details) then
    remove_from_outbox(client, id)
    return 'failed'
  end
  return 'not-published'
end, write_costs)
