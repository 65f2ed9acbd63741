#!lua flags=allow-oom
-- One step of a drain run: completes the published messages of a shard's connections, claims the next message of
-- each, and takes connections that wait. The head of an outbox is the message in flight; it leaves the list only when
-- completed: if a dispatcher dies in between, the message is published again under the same id.
-- `draining` holds the connections that the current run has taken. Whoever starts a run takes them all over, and the run
-- before it is fenced off: it may still complete its published messages as sent, because that is certain.
-- If Redis ran a step but its reply was lost, nobody publishes the messages that it claimed. So each step says how many
-- connections are under way besides those it completes; if `draining` holds others, the reply is `lost`, nothing is
-- done, and the run has to be started again.
--
-- KEYS hosts, proxies, accounts, accounts_asked, todo, woken, draining, drain_run, waking
-- ARGV run, under_way, room, first_wait_ms, longest_wait_ms, settlements...
--   run: '' starts one
--   under_way: connections under way
--   room: connections that may be taken; -1 if none is to go on
--   settlements: for each client id, message id ('' for none), attempt, outcome, details
-- Reply: run, kind, connections that ended by how (`DRAIN_ENDS`) and then how many records could not be read, and for each
--   claimed message client id, message id, directive, payload, left ms, request id, attempt, created at

--- @include "account-check"

-- Messages that one step ends without publishing them, at most: expired, moved or unreadable ones.
local ENDED_AT_ONCE = 500
-- Payloads that one step claims are at most so many bytes, and one payload more: a reply is in memory as a whole.
local CLAIMED_BYTES = 16777216

return with_log(function()
  local STATUSES = {}
  for status in string.gmatch(STORED_STATUSES, '[^|]+') do STATUSES[status] = true end
  local run, under_way, room = ARGV.run, tonumber(ARGV.under_way), tonumber(ARGV.room)
  local first_wait, longest_wait = tonumber(ARGV.first_wait_ms), tonumber(ARGV.longest_wait_ms)
  local starts = run == ''
  local ends = { 0, 0, 0, 0, 0 }
  local ended, claimed_bytes = 0, 0
  local reply = { run, 'draining', ends }
  -- Those that leave what the run has taken, and those of them that wait no more either.
  local left, done = {}, {}

  local function each_settlement(act)
    for i = ARGV.settlements, #ARGV, 5 do act(unpack(ARGV, i, i + 4)) end
  end

  -- Only what has come to its end leaves the outbox: one that another run has put back is published again.
  local function drop_if_ended(client, id, m)
    if m[1] ~= 'queued' and m[1] ~= 'in_flight' then remove_from_outbox(client, id) end
  end

  -- Returns the milliseconds until the next attempt, if one is needed. A later claim wins.
  local function settle(client, id, attempt, outcome, details)
    if id == '' then return end
    local m = load(id, 'attempts')
    m[6] = tonumber(m[6]) and m[6]
    local stale = m[6] and m[6] ~= attempt
    if outcome == 'sent' or (outcome == 'failed' and not stale) then
      move(id, m, outcome, outcome, details)
      drop_if_ended(client, id, m)
    elseif not stale then
      local unheard = outcome == 'unheard'
      local shown = unheard and 'held' or 'queued'
      if move(id, m, 'queued', shown, details, 'unheard', unheard and '1' or '0') then
        return math.min(longest_wait, first_wait * 2 ^ math.min((m[6] or 1) - 1, 20))
      end
      drop_if_ended(client, id, m)
    end
  end

  -- Who came online while it was drained does not wait.
  local function leave(client, how, from)
    ends[how] = ends[how] + 1
    left[#left + 1] = client
    if not from then done[#done + 1] = client
    elseif call('ZADD', KEYS.woken, 'NX', string.format('%.0f', from), client) == 0 then
      call('ZADD', KEYS.woken, 'LT', micros, client)
    end
  end

  -- What of a stored message cannot be read; nil for one that is in order.
  local function fault_of(client, m)
    if m.err then return 'it is no hash' end
    if not (m[1] or m[2] or m[3]) then return 'it is not stored' end
    if m[3] ~= client then return 'it names another client' end
    if not STATUSES[m[1]] then return 'its status is unknown' end
    if m[1] ~= 'queued' and m[1] ~= 'in_flight' then return nil end
    if not (m[6] and m[7]) then return 'its content is missing' end
    if not (tonumber(m[8]) and tonumber(m[10])) then return 'its times are missing' end
  end

  -- It must not keep the others of the shard from going on.
  local function give_up(client, id, m, fault)
    ends[5] = ends[5] + 1
    dead_letter(client, UNREADABLE_RECORD, 'the stored message ' .. id .. ' cannot be read: ' .. fault)
    remove_from_outbox(client, id)
    if m[3] ~= client then return call('ZREM', KEYS.expiry, id) end
    if m[1] ~= 'in_flight' then m[1] = 'queued' end
    move(id, m, 'failed', 'failed', 'the stored message cannot be read: ' .. fault)
  end

  local function go_on(client, online, account, asked)
    local outbox = KEYS.outbox_prefix .. client
    while true do
      local id = redis.pcall('LINDEX', outbox, 0)
      if not id then return leave(client, 1) end
      if type(id) ~= 'string' then
        ends[5] = ends[5] + 1
        remove_outbox(client)
        return leave(client, 1)
      end
      if ended == ENDED_AT_ONCE or claimed_bytes >= CLAIMED_BYTES then return leave(client, 4, micros) end
      ended = ended + 1
      local m = load(id, 'directive', 'payload', 'expires_at', 'request_id', 'created_at', 'attempts')
      local fault = fault_of(client, m)
      local is_waiting, in_flight = m[1] == 'queued', m[1] == 'in_flight'
      local left_ms = (tonumber(m[8]) or 0) - at
      if fault then
        give_up(client, id, m, fault)
      elseif not is_waiting and not in_flight then
        remove_from_outbox(client, id)
      elseif not asked and belongs_elsewhere(m, account, online) then
        fail_moved(client, id, m)
      elseif not online or (asked and m[5]) then
        if in_flight then move(id, m, 'queued', online and 'queued' or 'held') end
        return leave(client, online and 3 or 2)
      elseif left_ms <= 0 then
        if in_flight then move(id, m, 'queued', 'queued') end
        move(id, m, 'expired', 'expired')
        remove_from_outbox(client, id)
      else
        ended = ended - 1
        local attempt = (tonumber(m[11]) or 0) + 1
        if in_flight then call('HSET', KEYS.message_prefix .. id, 'attempts', attempt)
        else move(id, m, 'in_flight', 'in_flight', nil, 'attempts', attempt) end
        claimed_bytes = claimed_bytes + #m[7]
        reply[#reply + 1] = { client, id, m[6], m[7], left_ms, m[9] or '', attempt, m[10] }
        return
      end
    end
  end

  local function all_go_on(clients)
    if #clients > 0 then
      local hosts, accounts = call('ZMSCORE', KEYS.hosts, unpack(clients)), call('HMGET', KEYS.accounts, unpack(clients))
      local asked = call('SMISMEMBER', KEYS.accounts_asked, unpack(clients))
      for i, client in ipairs(clients) do
        go_on(client, hosts[i] or call('ZSCORE', KEYS.proxies, client), accounts[i], asked[i] == 1)
      end
    end
    if #left > 0 then call('SREM', KEYS.draining, unpack(left)) end
    if #done > 0 then call('ZREM', KEYS.woken, unpack(done)) end
    left, done = {}, {}
  end

  if starts then
    -- By the clock: a counter could come to the same number again after Redis has lost what it did last.
    reply[1] = string.format('%.0f', micros)
    call('SET', KEYS.drain_run, reply[1])
    call('DEL', KEYS.waking)
  elseif call('GET', KEYS.drain_run) ~= run then
    each_settlement(function(client, id, attempt, outcome, details)
      if outcome == 'sent' then settle(client, id, attempt, outcome, details) end
    end)
    reply[2] = 'superseded'
    return reply
  else
    local settled = {}
    each_settlement(function(client) settled[#settled + 1] = client end)
    local known = under_way + #settled == call('SCARD', KEYS.draining)
    for _, is_known in ipairs(#settled > 0 and call('SMISMEMBER', KEYS.draining, unpack(settled)) or {}) do
      known = known and is_known == 1
    end
    if not known then
      reply[2] = 'lost'
      return reply
    end
  end

  local going_on, gone = {}, {}
  each_settlement(function(client, id, attempt, outcome, details)
    local wait = settle(client, id, attempt, outcome, details)
    gone[client] = wait or room < 0
    if wait then leave(client, 3, micros + wait * 1000)
    elseif room < 0 and call('EXISTS', KEYS.outbox_prefix .. client) == 1 then leave(client, 4, micros)
    elseif room < 0 then leave(client, 1)
    elseif not starts then going_on[#going_on + 1] = client end
  end)
  if starts then
    for _, client in ipairs(call('SMEMBERS', KEYS.draining)) do
      if not gone[client] then going_on[#going_on + 1] = client end
    end
    room = math.max(0, room - #going_on)
  end
  all_go_on(going_on)
  if room > 0 then
    local woken = call('ZRANGE', KEYS.woken, '-inf', micros, 'BYSCORE', 'LIMIT', 0, room)
    local taken = {}
    for i, is_draining in ipairs(#woken > 0 and call('SMISMEMBER', KEYS.draining, unpack(woken)) or {}) do
      if is_draining == 0 then taken[#taken + 1] = woken[i]
      else call('ZADD', KEYS.woken, '+inf', woken[i]) end
    end
    if #taken > 0 then
      call('SADD', KEYS.draining, unpack(taken))
      call('ZREM', KEYS.woken, unpack(taken))
    end
    all_go_on(taken)
  end

  if call('EXISTS', KEYS.draining) == 0 then
    local first = call('ZRANGE', KEYS.woken, 0, 0, 'WITHSCORES')
    if not first[1] then
      call('ZREM', KEYS.todo, WAKE_TODO)
      reply[2] = 'idle'
    elseif tonumber(first[2]) > micros then
      call('ZADD', KEYS.todo, string.format('%.0f', math.ceil(first[2] / 1000)), WAKE_TODO)
      reply[2] = 'idle'
    end
  end
  return reply
end, write_costs)
