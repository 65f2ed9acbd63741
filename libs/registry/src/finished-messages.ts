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

/** One in so many of a shard's bytes: what a payer keeps while others need room. */
const PAYER_PART = 8;
/** Ids at the head of a payer's list that are dropped at once if they are forgotten already. */
const DROPPED_AT_ONCE = 10;

/**
 * Lua behind `MESSAGE_LUA`.
 * `forget(id, early)`: removes a finished message. The answer to its Idempotency-Key goes with it if `early`; if not, and
 *   it is kept for longer than the message, what remains is a record that counts it.
 * `forget_surplus(count, bytes, most)`: forgets until the shard keeps no more than that, `most` messages at most. Returns
 *   how many. What is not counted goes first: 0.1.0 finished it, or its record is lost.
 */
export const FINISHED_LUA = `
local function drop_payer(payer)
  call('ZREM', FINISHED_BYTES, payer)
  -- Only the total is left.
  if call('ZCARD', FINISHED_BYTES) == 1 then call('DEL', FINISHED_BYTES) end
end

local function uncount(id, payer, bytes)
  local list, counted = FINISHED_OF .. payer, tonumber(call('ZSCORE', FINISHED_BYTES, payer))
  if not counted then return end
  weigh(payer, -math.min(bytes, counted))
  if bytes >= counted then
    drop_payer(payer)
    return call('UNLINK', list)
  end
  for _ = 1, ${DROPPED_AT_ONCE} do
    local head = call('LINDEX', list, 0)
    if not head or (head ~= id and call('EXISTS', MESSAGE .. head) == 1) then return end
    call('LPOP', list)
  end
end

local function forget(id, early)
  local m = redis.pcall('HMGET', MESSAGE .. id, 'client_id', 'cost', 'idempotency', 'replayed_for')
  if m.err then m = {} end
  local client = m[1] or m[4]
  if m[1] then call('ZREM', MESSAGES .. m[1], id) end
  call('UNLINK', MESSAGE .. id)
  local replay = client and m[3] and IDEMPOTENCY .. client .. '/' .. m[3]
  local left = replay and call('HGET', replay, 'id') == id and call('PTTL', replay) or 0
  if left > 0 and not early then
    call('HSET', MESSAGE .. id, 'replayed_for', client, 'idempotency', m[3], 'cost', m[2])
    return call('ZADD', FINISHED, string.format('%.0f', at + left), id)
  end
  if left > 0 then call('UNLINK', replay) end
  call('ZREM', FINISHED, id)
  local bytes, _, payer = cost_of({ cost = m[2] })
  if payer then uncount(id, payer, bytes) end
end

local function next_surplus(total)
  local oldest = call('ZRANGE', FINISHED, 0, 0)[1]
  if not oldest or redis.pcall('HEXISTS', MESSAGE .. oldest, 'cost') ~= 1 then return oldest end
  -- The total is the largest of them, or as large as that of the only payer.
  local largest = call('ZRANGE', FINISHED_BYTES, 0, 1, 'REV', 'WITHSCORES')
  local at = largest[1] == '' and 3 or 1
  local payer, bytes = largest[at], tonumber(largest[at + 1])
  if not payer or bytes * ${PAYER_PART} <= total then return oldest end
  local id = call('LPOP', FINISHED_OF .. payer)
  if id then return id end
  -- The records that it was counted for are lost.
  weigh(payer, -bytes)
  drop_payer(payer)
  return oldest
end

local function forget_surplus(count, bytes, most)
  for forgotten = 0, most - 1 do
    local total = tonumber(call('ZSCORE', FINISHED_BYTES, '')) or 0
    if call('ZCARD', FINISHED) <= count and total <= bytes then return forgotten end
    local id = next_surplus(total)
    if not id then
      call('DEL', FINISHED_BYTES)
      return forgotten
    end
    forget(id, true)
  end
  return most
end
`;
