-- move(id, message, to, shown, details, members): moves a loaded message to another status, writes its record, and appends an event
--   with the status `shown` and further `members`. A finished message is kept until its retention ends. One that was sent and has a
--   response timeout has not finished: it awaits its answer. A final message is reported to the gateways that wait for it. Returns
--   false if the table of transitions does not allow the move; then the record is not written.
--
-- KEYS expiry, awaiting

--- @include "from-typescript"
--- @include "message-events"
--- @include "message-costs"
--- @include "message-record"
--- @include "finished-lists"
--- @include "waiting-gateways"

-- A longer history loses its older half except its first line, so that the retries for a client that never subscribes do
-- not pile up. The newer half has at least one whole change.
local HISTORY_BYTES = 8192

local function is_among(words, word) return string.find(words, '|' .. word .. '|', 1, true) and true or false end

local function with_change(history, change)
  if #history > HISTORY_BYTES then
    local first = string.match(history, '^[^\t]*')
    local rest = string.match(string.sub(history, -HISTORY_BYTES / 2), '\t(.*)$') or ''
    history = first .. '\t' .. rest
  end
  return history == '' and change or history .. '\t' .. change
end

-- Frees what only a publish needs, and returns the bytes that remain.
local function shrink(id, m)
  end_payload(id, m)
  if m.finished_bytes == 0 then m.finished_bytes = FINISHED_MESSAGE_BYTES + #(m.directive or '') + #(m.client or '') end
  return m.finished_bytes + #m.history + answer_bytes(id, m)
end

-- Frees what an unfinished message takes, and lists it as a finished one.
local function finish(id, m, was_awaiting)
  uncharge(m)
  m.bytes, m.payer = shrink(id, m), m.payer or UNKNOWN_PAYER
  count_finished_later(m.payer, m.bytes, 1)
  list_finished(m.payer, id, m)
  call('ZREM', was_awaiting and KEYS.awaiting or KEYS.expiry, id)
end

-- A message that was sent awaits its answer: it is charged as before, with what it takes now.
local function await_answer(id, m)
  m.response_deadline = at + m.response_timeout
  uncharge(m)
  m.bytes = AWAITING_MESSAGE_BYTES + shrink(id, m)
  charge(m)
  call('ZREM', KEYS.expiry, id)
  call('ZADD', KEYS.awaiting, plain(m.response_deadline), id)
end

local function move(id, message, to, shown, details, members)
  local from, history, was_awaiting = message.status, message.history, is_awaiting(message.status, message)
  if not from or not is_among(TRANSITIONS, from .. ' ' .. to) then return false end
  if from == 'in_flight' then count_in_flight(message, -1)
  elseif to == 'in_flight' then count_in_flight(message, 1) end
  local change = string.sub(to, 1, 1) .. plain(at - message.created)
  if details and details ~= '' then change = change .. ' ' .. string.gsub(details, '[%c]', ' ') end
  message.status, message.history = to, with_change(history, change)
  if is_awaiting(to, message) then
    await_answer(id, message)
  elseif is_among(FINISHED_STATUSES, to) then
    if was_awaiting or not is_among(FINISHED_STATUSES, from) then
      finish(id, message, was_awaiting)
    elseif message.payer then
      local grown = #message.history - #history
      message.bytes = message.bytes + grown
      count_finished_later(message.payer, grown, 0)
    end
  end
  local waiting = message.waiting_gateways and is_final(to) and take_waiting(message)
  save(id, message)
  if waiting then report_final(id, waiting) end
  append_status(message.client, message.account, id, shown, details, nil, nil, members)
  return true
end
