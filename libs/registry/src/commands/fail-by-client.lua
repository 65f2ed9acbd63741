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
  local message = load(id, 'attempts')
  local account = call('HGET', KEYS.accounts, client)
  if message[3] ~= client or (message[5] and message[5] ~= account) then
    if ARGV.unmatched_event ~= '' then append_refusal(ARGV.unmatched_event, account) end
    return message[3] and 'foreign' or 'unknown'
  end
  if message[1] == 'failed' then return 'repeated' end
  -- The message may have reached the client even if its claim was given back.
  local was_claimed = message[1] == 'in_flight' or message[1] == 'sent' or (tonumber(message[6]) or 0) >= 1
  if was_claimed and move(id, message, 'failed', 'failed', ARGV.details, note_publish(id, message, at_text)) then
    remove_from_outbox(client, id)
    return 'failed'
  end
  return 'not-published'
end, write_costs)
