-- The acts of a commit on messages about which clients report:
--   answer, client, message_id, details, unmatched: a `message-error`.
--     details: of the error
--     unmatched: the event to append if no message of the client matches; '' for none
--     Outcome: 'failed', 'repeated', 'unknown', 'foreign' or 'not-published'.
--
-- answer(client, id, details, unmatched): the outcome
-- do_answer(i, outcomes): does the act whose words begin at `i`, and returns the place of the next act.
--
-- KEYS accounts

--- @include "claims-ahead"
--- @include "outbox"

local function answer(client, id, details, unmatched)
  local message = load(id)
  local account = call('HGET', KEYS.accounts, client)
  if message.client ~= client or (message.account and message.account ~= account) then
    if unmatched ~= '' then append_refusal(unmatched, account) end
    return message.client and 'foreign' or 'unknown'
  end
  if message.status == 'failed' then return 'repeated' end
  -- The message may have reached the client even if its claim was given back.
  local was_claimed = message.status == 'in_flight' or message.status == 'sent' or (message.attempts or 0) >= 1
  if not was_claimed then return 'not-published' end
  note_publish(id, message, at_text)
  if not move(id, message, 'failed', 'failed', details) then return 'not-published' end
  remove_from_outbox(client, id)
  return 'failed'
end

local function do_answer(i, outcomes)
  outcomes[#outcomes + 1] = answer(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  return i + 4
end
