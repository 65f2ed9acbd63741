-- move(id, message, to, shown, details, field, value …): moves a loaded message to another status, sets further fields, and
--   appends an event with the status `shown`. A finished message is kept until its retention ends. Returns false if the
--   table of transitions does not allow the move.
--
-- A line of a message's history is `<status> <at>[ <details>]`.
--
-- KEYS message_prefix, expiry, finished, finished_of_prefix

--- @include "from-typescript"
--- @include "message-events"
--- @include "message-costs"
--- @include "load-message"

-- A longer history loses its older half except its first line, so that the retries for a client that never subscribes do
-- not pile up. The newer half has at least one whole line.
local HISTORY_BYTES = 8192

local function is_among(words, word) return string.find(words, '|' .. word .. '|', 1, true) and true or false end

local function with_line(history, line)
  if #history > HISTORY_BYTES then
    local first = string.match(history, '^[^\n]*')
    local rest = string.match(string.sub(history, -HISTORY_BYTES / 2), '\n(.*)$') or ''
    history = first .. '\n' .. rest
  end
  return history == '' and line or history .. '\n' .. line
end

local function move(id, message, to, shown, details, ...)
  local from, history = message[1], message[2] or ''
  if not from or not is_among(TRANSITIONS, from .. ' ' .. to) then return false end
  if from == 'in_flight' then count_in_flight(message, -1)
  elseif to == 'in_flight' then count_in_flight(message, 1) end
  local line = to .. ' ' .. at_text
  if details and details ~= '' then line = line .. ' ' .. string.gsub(details, '[%c]', ' ') end
  line = with_line(history, line)
  local grown, key = #line - #history, KEYS.message_prefix .. id
  message[1], message[2] = to, line
  if is_among(FINISHED_STATUSES, to) then
    local bytes, finished_bytes, payer = cost_of(message)
    if not is_among(FINISHED_STATUSES, from) then
      uncharge(message)
      -- Readers of a finished message need its directive and its history only.
      call('HDEL', key, 'payload', 'request_id', 'unheard')
      payer, bytes, grown = payer or UNKNOWN_PAYER, 0, finished_bytes + #line
      call('RPUSH', KEYS.finished_of_prefix .. payer, id)
    end
    if payer then
      count_finished_later(payer, grown)
      message.cost = string.format('%.0f', bytes + grown) .. ' ' .. payer
      call('HSET', key, 'cost', message.cost, 'status', to, 'history', line, ...)
    else
      call('HSET', key, 'status', to, 'history', line, ...)
    end
    call('ZREM', KEYS.expiry, id)
    call('ZADD', KEYS.finished, string.format('%.0f', at + (tonumber(message[4]) or 0)), id)
  else
    call('HSET', key, 'status', to, 'history', line, ...)
  end
  append_status(message[3], message[5], id, shown, details)
  return true
end
