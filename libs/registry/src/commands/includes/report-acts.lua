-- The acts of a commit on messages about which clients report. Only the client a message was meant for may do so, and only as soon
-- as the message was claimed once: if the claim was given back, the message may have reached the client nevertheless.
--   answer, client, message_id, status, details, answer_id, answer, size, payload, unmatched: makes the message final.
--     status: 'answered', or 'failed' for a `message-error`
--     details: of the error
--     answer, payload: what is kept of the answer, see `message-record.lua`; of a `message-error` only if it is late
--     size: bytes of its payload, for the event
--     unmatched: the event to append if it matches no message, '' for none; that of a response lacks the reason and its end
--     Outcome: the status; 'late' if the message is final and has no answer, and it was not the client that failed it;
--     'repeated'; or why it changes nothing: 'unknown', 'foreign' for a message of another client or account, 'not-published',
--     'already-final'.
--   note, client, message_id, details: an answer did not count, and the history of the message says so. Outcome: 'noted', or why not, as
--     above.
--   progress, client, message_id, progress, event: what the client has done so far. Outcome: 'kept', or why not, as above.
--
-- answer(client, id, status, details, answer_id, kept, size, payload, unmatched): does the act, and returns its outcome.
-- do_report(act, i, outcomes): does the act whose words begin at `i`, and returns the place of the next act; nil if it is another act.
--
-- KEYS accounts, talk_events

--- @include "claims-ahead"
--- @include "expire-message"
--- @include "outbox"

-- Final statuses that a message may have without an answer.
local LATE_AFTER = '|unanswered|expired|cancelled|'

-- The message about which a client reports, the client's account, and why it may not report about it.
local function reported(client, id)
  local m, account = load(id), call('HGET', KEYS.accounts, client)
  if not m.client then return m, account, 'unknown' end
  if m.client ~= client or (m.account and m.account ~= account) then return m, account, 'foreign' end
  if m.status ~= 'in_flight' and m.status ~= 'sent' and m.attempts == 0 then return m, account, 'not-published' end
  return m, account
end

-- Why an answer changes nothing; nil if it counts.
local function refusal_of(m, status, answer_id)
  if m.answer_id == answer_id then return 'repeated' end
  if has_failed_unknown(m) and not m.answer then return end
  -- A client that reports once more that it failed says nothing new.
  if status == 'failed' and m.status == 'failed' and not m.answer then return 'repeated' end
  if m.answer or m.status == 'answered' or m.status == 'failed' then return 'already-final' end
end

local function has_finished(m) return is_among(FINISHED_STATUSES, m.status) and not is_awaiting(m.status, m) end

-- Keeps an answer. An unfinished message is charged for it when it finishes.
local function keep(id, m, answer_id, kept, payload)
  local before = answer_bytes(id, m)
  keep_answer(id, m, answer_id, kept, payload)
  if has_finished(m) then charge_more(m, answer_bytes(id, m) - before, true) end
end

local function answer(client, id, status, details, answer_id, kept, size, payload, unmatched)
  local m, account, refused = reported(client, id)
  refused = refused or refusal_of(m, status, answer_id)
  if refused then
    if unmatched ~= '' and refused ~= 'repeated' then
      if status ~= 'failed' then unmatched = unmatched .. ',"reason":"' .. refused .. '"}' end
      append_refusal(unmatched, account)
    end
    return refused
  end
  local shown_size = ',"answer_size":' .. size
  if is_among(LATE_AFTER, m.status) or has_failed_unknown(m) then
    keep(id, m, answer_id, kept, payload)
    save(id, m)
    append_late(client, m.account, id, m.status, shown_size)
    return 'late'
  end
  note_publish(id, m, at_text)
  if status == 'answered' then keep(id, m, answer_id, kept, payload) end
  move(id, m, status, status, details, status == 'answered' and shown_size or nil)
  remove_from_outbox(client, id)
  return status
end

local function progress(client, id, kept, event)
  local m, account, refused = reported(client, id)
  if refused then return refused end
  if m.answer or (m.status ~= 'queued' and m.status ~= 'in_flight' and m.status ~= 'sent') then return 'already-final' end
  note_publish(id, m, at_text)
  local before = answer_bytes(id, m)
  m.progress = kept
  charge_more(m, answer_bytes(id, m) - before, has_finished(m))
  save(id, m)
  log_append(KEYS.log, KEYS.talk_events, 'talk', TALK_SHARE, event_fields(event, account))
  return 'kept'
end

-- The note stands before the last change, which says since when the message has its status, and why.
local function note(client, id, details)
  local m, _, refused = reported(client, id)
  if refused then return refused end
  note_publish(id, m, at_text)
  local before = #m.history
  local change = string.sub(m.status, 1, 1) .. plain(at - m.created) .. ' ' .. string.gsub(details, '[%c]', ' ')
  local earlier, last = string.match(m.history, '^(.*)\t([^\t]*)$')
  m.history = earlier and with_change(earlier, change) .. '\t' .. last or with_change(m.history, change)
  charge_more(m, #m.history - before, has_finished(m))
  save(id, m)
  return 'noted'
end

local function do_report(act, i, outcomes)
  if act == 'answer' then
    outcomes[#outcomes + 1] = answer(unpack(ARGV, i, i + 8))
    return i + 9
  elseif act == 'progress' then
    outcomes[#outcomes + 1] = progress(unpack(ARGV, i, i + 3))
    return i + 4
  elseif act == 'note' then
    outcomes[#outcomes + 1] = note(unpack(ARGV, i, i + 2))
    return i + 3
  end
end
