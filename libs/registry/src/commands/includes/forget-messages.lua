-- Forgets finished messages: when their retention has ended, or earlier if the shard exceeds a limit. Then the payer with
-- the most bytes loses its oldest messages first, if it has more than its part.
--
-- forget_due(most): forgets up to `most` messages whose retention has ended. If the answer to its Idempotency-Key has a longer
--   one, a small record of the message stays, so that the answer is counted. Returns the number of forgotten messages.
-- forget_surplus(count, bytes, most): forgets up to `most` messages until the shard is within both limits, with the answers to their
--   Idempotency-Keys. Returns the number of forgotten messages.
--
-- KEYS messages_prefix, idempotency_prefix, finished_bytes, finished_count

--- @include "message-costs"
--- @include "message-record"
--- @include "finished-lists"

-- The part of a shard's bytes that a payer keeps while others need room is one in this many.
local PAYER_PART = 8
-- Messages that are chosen at a time.
local CHOSEN_BATCH = 50

local function payer_of(list) return string.sub(list, 1, #ANSWERS) == ANSWERS and string.sub(list, #ANSWERS + 1) or list end

-- Removes the answer of a message and what is known of it. Returns the bytes that become free.
local function drop_answer(id, m)
  local bytes = answer_bytes(id, m)
  if m.has_payload_key then call('UNLINK', KEYS.payload_prefix .. id) end
  m.payload, m.has_payload_key, m.answer, m.answer_id, m.progress = '', false, nil, nil, nil
  m.response_timeout, m.response_deadline, m.waiting_gateways = nil, nil, nil
  m.bytes = m.bytes - bytes
  return bytes
end

-- Removes what is stored for a message. Returns the bytes that become free, and whether its record stays for the answer to its
-- Idempotency-Key.
local function forget(id, m, payer, early)
  if m.client then call('ZREM', KEYS.messages_prefix .. m.client, id) end
  local replay = m.idempotency and m.replayed_for and KEYS.idempotency_prefix .. m.replayed_for .. '/' .. m.idempotency
  local left = replay and call('HGET', replay, 'id') == id and call('PTTL', replay) or 0
  if left > 0 and not early then
    local bytes = drop_answer(id, m)
    m.status, m.client, m.directive, m.history, m.kept = REPLAYED, m.replayed_for, '', '', at + left - m.created
    save(id, m)
    list_finished(ANSWERS .. payer, id, m)
    return bytes, true
  end
  call('UNLINK', KEYS.message_prefix .. id)
  if m.has_payload_key then call('UNLINK', KEYS.payload_prefix .. id) end
  if left > 0 then call('UNLINK', replay) end
  return m.bytes or 0, false
end

-- Removes the counts of a payer that has no list any more. What its lost records took is still counted.
local function drop_payer(payer)
  local bytes = call('ZSCORE', KEYS.finished_bytes, payer)
  if bytes then count_finished(payer, -bytes, 0) end
  call('ZREM', KEYS.finished_bytes, payer)
  -- Only the total remains.
  if call('ZCARD', KEYS.finished_bytes) <= 1 then call('DEL', KEYS.finished_bytes, KEYS.finished_count) end
end

local function has_list(list) return call('EXISTS', KEYS.finished_of_prefix .. list) == 1 end

-- Forgets messages at the head of a list, at most `most`, while `goes(due, bytes that the one before has freed)`.
local function forget_from(list, most, early, goes)
  local key, payer = KEYS.finished_of_prefix .. list, payer_of(list)
  local ids = call('LRANGE', key, 0, most)
  local forgotten, removed, bytes_freed, passed, later, next_due = 0, 0, 0, 0, {}, nil
  local last = 0
  for i, id in ipairs(ids) do
    local m = load(id)
    local due = due_of(m)
    if i <= most and goes(due, last) then
      local bytes, stays = forget(id, m, payer, early)
      last, forgotten, bytes_freed = bytes, forgotten + 1, bytes_freed + bytes
      if not stays then removed = removed + 1 end
    else
      local following = not early and i <= most and ids[i + 1] and due_of(load(ids[i + 1]))
      next_due = due
      if not following or following >= due then break end
      -- The message has changed since it finished, and the next one goes before it.
      later[#later + 1] = id
    end
    passed, next_due = i, nil
  end
  if passed > 0 then call('LTRIM', key, passed, -1) end
  if #later > 0 then call('RPUSH', key, unpack(later)) end
  if removed > 0 or bytes_freed > 0 then count_finished(payer, -bytes_freed, -removed) end
  if not next_due then
    local first = call('LINDEX', key, 0)
    next_due = first and due_of(load(first))
  end
  if next_due then call('ZADD', KEYS.finished_due, next_due, list)
  else
    call('ZREM', KEYS.finished_due, list)
    if not has_list(payer) and not has_list(ANSWERS .. payer) then drop_payer(payer) end
  end
  return forgotten
end

local function forget_due(most)
  local forgotten = 0
  for _, list in ipairs(call('ZRANGE', KEYS.finished_due, '-inf', at_text, 'BYSCORE', 'LIMIT', 0, most)) do
    if forgotten == most then break end
    forgotten = forgotten + forget_from(list, most - forgotten, false, function(due) return due <= at end)
  end
  return forgotten
end

-- The list that loses messages next; until their due time exceeds the second value, or until it has lost the third one in bytes.
local function next_surplus(total)
  -- The total is the largest value, or as large as that of the only payer.
  local largest = call('ZRANGE', KEYS.finished_bytes, 0, 1, 'REV', 'WITHSCORES')
  local i = largest[1] == '' and 3 or 1
  local payer, bytes = largest[i], tonumber(largest[i + 1])
  if payer and bytes * PAYER_PART > total then
    local spare = bytes - total / PAYER_PART
    for _, list in ipairs({ ANSWERS .. payer, payer }) do
      if has_list(list) then return list, math.huge, spare end
    end
    -- The payer's list is lost.
    drop_payer(payer)
  end
  local oldest = call('ZRANGE', KEYS.finished_due, 0, 1, 'WITHSCORES')
  return oldest[1], tonumber(oldest[4]) or math.huge, math.huge
end

local function forget_surplus(count, bytes, most)
  local forgotten, tries = 0, 0
  -- A try that forgets nothing has removed a lost list, or has corrected when another list is due.
  while forgotten < most and tries < most do
    tries = tries + 1
    local total = tonumber(call('ZSCORE', KEYS.finished_bytes, '')) or 0
    local too_many, too_large = tonumber(call('GET', KEYS.finished_count) or 0) - count, total - bytes
    if too_many <= 0 and too_large <= 0 then return forgotten end
    local list, before, spare = next_surplus(total)
    if not list then
      call('DEL', KEYS.finished_bytes, KEYS.finished_count)
      return forgotten
    end
    local chosen = forget_from(list, math.min(CHOSEN_BATCH, most - forgotten), true, function(due, last)
      too_large, spare = too_large - last, spare - last
      local goes = (too_many > 0 or too_large > 0) and spare > 0 and due <= before
      too_many = goes and too_many - 1 or too_many
      return goes
    end)
    forgotten = forgotten + chosen
  end
  return forgotten
end
