-- Forgets finished messages: when their retention has ended, or earlier if the shard exceeds a limit. Then the payer with
-- the most bytes loses its oldest messages first, if it has more than its part.
--
-- forget(id, early, listed_for): removes a finished message. If `early`, the answer to its Idempotency-Key is removed as
--   well. Otherwise an answer that has a longer retention stays, with a small record that keeps it counted. `listed_for`
--   is the payer if the message was found in a payer's list. Returns the bytes that become free.
-- write_forgotten(): writes what `forget` has collected.
-- forget_surplus(count, bytes, most): forgets up to `most` messages until the shard is within both limits. Messages that
--   are not counted go first: 0.1.0 finished them, or their records are lost. Returns the number of forgotten messages.
--
-- KEYS message_prefix, messages_prefix, idempotency_prefix, finished, finished_bytes, finished_of_prefix

--- @include "message-costs"

-- The part of a shard's bytes that a payer keeps while others need room is one in this many.
local PAYER_PART = 8
-- Messages that are chosen at a time.
local CHOSEN_BATCH = 50
-- Ids of messages forgotten earlier that are dropped from a payer's list at a time, in addition to the current ones.
local DROPPED_BATCH = 10

local gone, gone_ids, gone_keys, payers = {}, {}, {}, {}

local function drop_payer(payer)
  call('ZREM', KEYS.finished_bytes, payer)
  -- Only the total remains.
  if call('ZCARD', KEYS.finished_bytes) == 1 then call('DEL', KEYS.finished_bytes) end
end

local function uncount(payer, bytes, number)
  local list, counted = KEYS.finished_of_prefix .. payer, tonumber(call('ZSCORE', KEYS.finished_bytes, payer))
  if counted and bytes > 0 then count_finished(payer, -math.min(bytes, counted)) end
  if counted and bytes >= counted then drop_payer(payer) end
  if not counted or bytes >= counted then return call('UNLINK', list) end
  local dropped = 0
  for i, id in ipairs(call('LRANGE', list, 0, number + DROPPED_BATCH - 1)) do
    if not gone[id] and call('EXISTS', KEYS.message_prefix .. id) == 1 then break end
    dropped = i
  end
  if dropped > 0 then call('LTRIM', list, dropped, -1) end
end

local function write_forgotten()
  if #gone_ids == 0 then return end
  call('UNLINK', unpack(gone_keys))
  call('ZREM', KEYS.finished, unpack(gone_ids))
  for payer, of in pairs(payers) do uncount(payer, of.bytes, of.number) end
  gone, gone_ids, gone_keys, payers = {}, {}, {}, {}
end

local function forget(id, early, listed_for)
  local key = KEYS.message_prefix .. id
  local m = redis.pcall('HMGET', key, 'client_id', 'cost', 'idempotency', 'replayed_for')
  if m.err then m = {} end
  local client = m[1] or m[4]
  if m[1] then call('ZREM', KEYS.messages_prefix .. m[1], id) end
  local replay = client and m[3] and KEYS.idempotency_prefix .. client .. '/' .. m[3]
  local left = replay and call('HGET', replay, 'id') == id and call('PTTL', replay) or 0
  if left > 0 and not early then
    call('UNLINK', key)
    call('HSET', key, 'replayed_for', client, 'idempotency', m[3], 'cost', m[2])
    call('ZADD', KEYS.finished, string.format('%.0f', at + left), id)
    return 0
  end
  gone[id], gone_ids[#gone_ids + 1], gone_keys[#gone_keys + 1] = true, id, key
  if left > 0 then gone_keys[#gone_keys + 1] = replay end
  local bytes, _, payer = cost_of({ cost = m[2] })
  payer = payer or listed_for
  if payer then
    local of = payers[payer] or { bytes = 0, number = 0 }
    payers[payer] = { bytes = of.bytes + bytes, number = of.number + 1 }
  end
  return bytes
end

-- The first of the ids whose messages are not counted.
local function uncounted(ids)
  local found = {}
  for _, id in ipairs(ids) do
    if redis.pcall('HEXISTS', KEYS.message_prefix .. id, 'cost') == 1 then break end
    found[#found + 1] = id
  end
  return found
end

-- Chooses messages to forget. Returns their ids and, if all are of one payer, that payer and the bytes that it may lose.
local function next_surplus(total, most)
  local oldest = call('ZRANGE', KEYS.finished, 0, most - 1)
  local first = uncounted(oldest)
  if #first > 0 then return first end
  -- The total is the largest value, or as large as that of the only payer.
  local largest = call('ZRANGE', KEYS.finished_bytes, 0, 1, 'REV', 'WITHSCORES')
  local i = largest[1] == '' and 3 or 1
  local payer, bytes = largest[i], tonumber(largest[i + 1])
  if not payer or bytes * PAYER_PART <= total then return oldest end
  local ids = call('LRANGE', KEYS.finished_of_prefix .. payer, 0, most - 1)
  if #ids > 0 then return ids, payer, bytes - total / PAYER_PART end
  -- The payer's list is lost: remove its bytes.
  count_finished(payer, -bytes)
  drop_payer(payer)
  return oldest
end

local function forget_surplus(count, bytes, most)
  local number = 0
  while number < most do
    local total = tonumber(call('ZSCORE', KEYS.finished_bytes, '')) or 0
    local too_many, too_large = call('ZCARD', KEYS.finished) - count, total - bytes
    if too_many <= 0 and too_large <= 0 then return number end
    local ids, payer, spare = next_surplus(total, math.min(CHOSEN_BATCH, most - number))
    if #ids == 0 then
      call('DEL', KEYS.finished_bytes)
      return number
    end
    for _, id in ipairs(ids) do
      local bytes_freed = forget(id, true, payer)
      number, too_many, too_large = number + 1, too_many - 1, too_large - bytes_freed
      spare = spare and spare - bytes_freed
      if (too_many <= 0 and too_large <= 0) or (spare and spare <= 0) then break end
    end
    write_forgotten()
  end
  return number
end
