/**
 * How finished messages of a shard are forgotten: when their retention has ended, or before it when the shard has too
 * many of them or too many bytes. Then the payer that has most of them, and more than its part, loses its own oldest.
 */
export interface FinishedLimits {
  /** Finished messages that a shard keeps at most. */
  count: number;
  /** Bytes of them, and of the Idempotency-Keys that they came with. */
  bytes: number;
}

/** Unless set otherwise. */
export const FINISHED_LIMITS: FinishedLimits = { count: 100_000, bytes: 134_217_728 };

/** One in so many of a shard's bytes: what a payer keeps while others need room. */
const PAYER_PART = 8;
/** Messages that are chosen at once. */
const RUN = 50;
/** Ids in a payer's list, beyond those that are forgotten just now, that are dropped at once if they were forgotten before. */
const DROPPED_AT_ONCE = 10;

/**
 * Lua behind `MESSAGE_LUA`.
 * `forget(id, early)`: removes a finished message. The answer to its Idempotency-Key goes with it if `early`; if not, and
 *   it is kept for longer than the message, what remains is a record that counts it. Returns the bytes that are free.
 * `forgotten()`: writes what `forget` has gathered.
 * `forget_surplus(count, bytes, most)`: forgets until the shard keeps no more than that, `most` messages at most. Returns
 *   how many. What is not counted goes first: 0.1.0 finished it, or its record is lost.
 */
export const FINISHED_LUA = `
local gone, gone_ids, gone_keys, payers = {}, {}, {}, {}

local function drop_payer(payer)
  call('ZREM', FINISHED_BYTES, payer)
  -- Only the total is left.
  if call('ZCARD', FINISHED_BYTES) == 1 then call('DEL', FINISHED_BYTES) end
end

local function uncount(payer, bytes, number)
  local list, counted = FINISHED_OF .. payer, tonumber(call('ZSCORE', FINISHED_BYTES, payer))
  if counted and bytes > 0 then weigh(payer, -math.min(bytes, counted)) end
  if counted and bytes >= counted then drop_payer(payer) end
  if not counted or bytes >= counted then return call('UNLINK', list) end
  local before = 0
  for i, id in ipairs(call('LRANGE', list, 0, number + ${DROPPED_AT_ONCE - 1})) do
    if not gone[id] and call('EXISTS', MESSAGE .. id) == 1 then break end
    before = i
  end
  if before > 0 then call('LTRIM', list, before, -1) end
end

local function forgotten()
  if #gone_ids == 0 then return end
  call('UNLINK', unpack(gone_keys))
  call('ZREM', FINISHED, unpack(gone_ids))
  for payer, of in pairs(payers) do uncount(payer, of.bytes, of.number) end
  gone, gone_ids, gone_keys, payers = {}, {}, {}, {}
end

local function forget(id, early, listed_for)
  local m = redis.pcall('HMGET', MESSAGE .. id, 'client_id', 'cost', 'idempotency', 'replayed_for')
  if m.err then m = {} end
  local client = m[1] or m[4]
  if m[1] then call('ZREM', MESSAGES .. m[1], id) end
  local replay = client and m[3] and IDEMPOTENCY .. client .. '/' .. m[3]
  local left = replay and call('HGET', replay, 'id') == id and call('PTTL', replay) or 0
  if left > 0 and not early then
    call('UNLINK', MESSAGE .. id)
    call('HSET', MESSAGE .. id, 'replayed_for', client, 'idempotency', m[3], 'cost', m[2])
    call('ZADD', FINISHED, string.format('%.0f', at + left), id)
    return 0
  end
  gone[id], gone_ids[#gone_ids + 1], gone_keys[#gone_keys + 1] = true, id, MESSAGE .. id
  if left > 0 then gone_keys[#gone_keys + 1] = replay end
  local bytes, _, payer = cost_of({ cost = m[2] })
  payer = payer or listed_for
  if payer then
    local of = payers[payer] or { bytes = 0, number = 0 }
    payers[payer] = { bytes = of.bytes + bytes, number = of.number + 1 }
  end
  return bytes
end

-- What of the oldest is not counted.
local function uncounted(ids)
  local found = {}
  for _, id in ipairs(ids) do
    if redis.pcall('HEXISTS', MESSAGE .. id, 'cost') == 1 then break end
    found[#found + 1] = id
  end
  return found
end

-- Ids, and if they are of one payer: who that is, and the bytes that it loses at most.
local function next_surplus(total, most)
  local oldest = call('ZRANGE', FINISHED, 0, most - 1)
  local first = uncounted(oldest)
  if #first > 0 then return first end
  -- The total is the largest of them, or as large as that of the only payer.
  local largest = call('ZRANGE', FINISHED_BYTES, 0, 1, 'REV', 'WITHSCORES')
  local i = largest[1] == '' and 3 or 1
  local payer, bytes = largest[i], tonumber(largest[i + 1])
  if not payer or bytes * ${PAYER_PART} <= total then return oldest end
  local ids = call('LRANGE', FINISHED_OF .. payer, 0, most - 1)
  if #ids > 0 then return ids, payer, bytes - total / ${PAYER_PART} end
  -- The records that it was counted for are lost.
  weigh(payer, -bytes)
  drop_payer(payer)
  return oldest
end

local function forget_surplus(count, bytes, most)
  local number = 0
  while number < most do
    local total = tonumber(call('ZSCORE', FINISHED_BYTES, '')) or 0
    local too_many, too_large = call('ZCARD', FINISHED) - count, total - bytes
    if too_many <= 0 and too_large <= 0 then return number end
    local ids, payer, spare = next_surplus(total, math.min(${RUN}, most - number))
    if #ids == 0 then
      call('DEL', FINISHED_BYTES)
      return number
    end
    for _, id in ipairs(ids) do
      local freed = forget(id, true, payer)
      number, too_many, too_large = number + 1, too_many - 1, too_large - freed
      spare = spare and spare - freed
      if (too_many <= 0 and too_large <= 0) or (spare and spare <= 0) then break end
    end
    forgotten()
  end
  return number
end
`;
