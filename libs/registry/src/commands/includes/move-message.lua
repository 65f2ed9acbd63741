-- move(id, message, to, shown, details): moves a loaded message to another status, writes its record, and appends an event
--   with the status `shown`. A finished message is kept until its retention ends. Returns false if the table of transitions does
--   not allow the move; then the record is not written.
--
-- KEYS expiry

--- @include "from-typescript"
--- @include "message-events"
--- @include "message-costs"
--- @include "message-record"
--- @include "finished-lists"

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

-- Frees what an unfinished message takes, and lists it as a finished one.
local function finish(id, m)
  uncharge(m)
  end_payload(id, m)
  if m.finished_bytes == 0 then m.finished_bytes = FINISHED_MESSAGE_BYTES + #(m.directive or '') + #(m.client or '') end
  m.payer, m.bytes = m.payer or UNKNOWN_PAYER, m.finished_bytes + #m.history
  count_finished_later(m.payer, m.bytes, 1)
  list_finished(m.payer, id, m)
  call('ZREM', KEYS.expiry, id)
end

local function move(id, message, to, shown, details)
  local from, history = message.status, message.history
  if not from or not is_among(TRANSITIONS, from .. ' ' .. to) then return false end
  if from == 'in_flight' then count_in_flight(message, -1)
  elseif to == 'in_flight' then count_in_flight(message, 1) end
  local change = string.sub(to, 1, 1) .. plain(at - message.created)
  if details and details ~= '' then change = change .. ' ' .. string.gsub(details, '[%c]', ' ') end
  message.status, message.history = to, with_change(history, change)
  if is_among(FINISHED_STATUSES, to) then
    if not is_among(FINISHED_STATUSES, from) then
      finish(id, message)
    elseif message.payer then
      local grown = #message.history - #history
      message.bytes = message.bytes + grown
      count_finished_later(message.payer, grown, 0)
    end
  end
  save(id, message)
  append_status(message.client, message.account, id, shown, details)
  return true
end
