-- append_refusal(event, account): appends an event to the stream of refusals, with the connection's account if there is one.
-- append_status(client, account, id, status, details, when, next_status, members): appends the event about a message's new status, and if
--   `next_status` is given, in the same entry the event that it has this status already; counts them. `stored-event.ts` reads both. `when`: the
--   time of the event, if it is not that of the script. `members`: further members of the event, each after a comma.
-- append_late(client, account, id, status, members): appends the event about an answer to a message that is final and keeps its status.
-- dead_letter(client, reason, details): appends a dead letter.
--
-- KEYS log, events, refusal_events, dead_letters

--- @include "from-typescript"
--- @include "now"

local function event_fields(event, account, when)
  if account then return { 'at', when or at_text, 'event', event, 'account', account } end
  return { 'at', when or at_text, 'event', event }
end

local function append_refusal(event, account)
  log_append(KEYS.log, KEYS.refusal_events, 'refusals', REFUSALS_SHARE, event_fields(event, account))
end

local function status_event(client, id, status)
  return '{"type":"message.status","client_id":' .. cjson.encode(client) .. ',"message_id":"' .. id ..
    '","status":"' .. status .. '"'
end

local function append_late(client, account, id, status, members)
  local event = status_event(client, id, status) .. members .. ',"late":true}'
  log_append(KEYS.log, KEYS.events, 'state', STATE_SHARE, event_fields(event, account))
end

local function append_status(client, account, id, status, details, when, next_status, members)
  local event = status_event(client, id, status)
  if details and details ~= '' then event = event .. ',"details":' .. cjson.encode(details) end
  local fields = event_fields(event .. (members or '') .. '}', account, when)
  if next_status then fields[#fields + 1], fields[#fields + 2] = 'next', next_status end
  log_append(KEYS.log, KEYS.events, 'state', STATE_SHARE, fields, next_status and 2 or 1)
  log_count(status)
  if next_status then log_count(next_status) end
end

local function dead_letter(client, reason, details)
  local letter = '{"client_id":' .. cjson.encode(client) .. ',"topic":"","reason":"' .. reason .. '","details":' ..
    cjson.encode(details) .. ',"sample":""}'
  log_append(KEYS.log, KEYS.dead_letters, 'dead-letters', DEAD_LETTERS_SHARE, { 'at', at_text, 'letter', letter })
end
