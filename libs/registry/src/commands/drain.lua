#!lua flags=allow-oom
-- One step of a drain run: completes the published messages of a shard's connections, claims the next message of each, and
-- takes ready connections. The head of an outbox is the message in flight; it leaves the list only when it is completed.
-- If a dispatcher dies in between, the message is published again under the same id.
-- `draining` has the connections that the current run has taken. A new run takes over all of them and fences off the
-- earlier run, which may still complete its published messages as sent, because that is certain.
-- If Redis ran a step but its reply was lost, nobody publishes the messages that it claimed. So each step names the number
-- of connections under way in addition to those it completes. If `draining` does not match, the reply is `lost`, the step
-- changes nothing, and the dispatcher has to start a new run.
--
-- KEYS hosts, proxies, accounts, accounts_asked, todo, woken, draining, drain_run, waking
-- ARGV run, under_way, room, first_wait_ms, longest_wait_ms, settlements...
--   run: id of the run; '' starts a new one
--   under_way: number of connections under way
--   room: how many connections may be taken; -1 if none may continue
--   settlements: for each result its client id, message id ('' for none), attempt, outcome, details
-- Reply: run, kind, the number of connections that have ended by reason (`DRAIN_ENDS`) followed by the number of unreadable
--   records, and for each claimed message its client id, message id, directive, payload, left ms, request id, attempt,
--   created at

--- @include "account-check"

-- Messages that one step may finish without publishing them, because they have expired, moved or are unreadable.
local MAX_FINISHED = 500
-- Limit for the payloads that one step claims, since a reply is in memory as a whole. The last payload may exceed it.
local MAX_CLAIMED_BYTES = 16777216

return with_log(function()
  local STATUSES = {}
  for status in string.gmatch(STORED_STATUSES, '[^|]+') do STATUSES[status] = true end
  local run, under_way, room = ARGV.run, tonumber(ARGV.under_way), tonumber(ARGV.room)
  local first_wait, longest_wait = tonumber(ARGV.first_wait_ms), tonumber(ARGV.longest_wait_ms)
  local is_new = run == ''
  local ends = { 0, 0, 0, 0, 0 }
  local finished, claimed_bytes = 0, 0
  local reply = { run, 'draining', ends }
  -- Connections that the run releases, and those of them that have nothing to retry.
  local released, idle = {}, {}

  local function each_settlement(act)
    for i = ARGV.settlements, #ARGV, 5 do act(unpack(ARGV, i, i + 4)) end
  end

  -- Removes a finished message from the outbox. Another run may have put the message back: then it is published again.
  local function drop_if_finished(client, id, m)
    if m[1] ~= 'queued' and m[1] ~= 'in_flight' then remove_from_outbox(client, id) end
  end

  -- Returns the milliseconds until the next attempt if one is needed. A later claim wins.
  local function complete(client, id, attempt, outcome, details)
    if id == '' then return end
    local m = load(id, 'attempts')
    m[6] = tonumber(m[6]) and m[6]
    local stale = m[6] and m[6] ~= attempt
    if outcome == 'sent' or (outcome == 'failed' and not stale) then
      move(id, m, outcome, outcome, details)
      drop_if_finished(client, id, m)
    elseif not stale then
      local no_subscribers = outcome == 'no-subscribers'
      local shown = no_subscribers and 'held' or 'queued'
      if move(id, m, 'queued', shown, details, 'unheard', no_subscribers and '1' or '0') then
        return math.min(longest_wait, first_wait * 2 ^ math.min((m[6] or 1) - 1, 20))
      end
      drop_if_finished(client, id, m)
    end
  end

  -- Releases a connection; `retry_at` in microseconds. A client that came online during the drain is retried at once.
  local function release(client, reason, retry_at)
    ends[reason] = ends[reason] + 1
    released[#released + 1] = client
    if not retry_at then idle[#idle + 1] = client
    elseif call('ZADD', KEYS.woken, 'NX', string.format('%.0f', retry_at), client) == 0 then
      call('ZADD', KEYS.woken, 'LT', micros, client)
    end
  end

  -- Why a stored message cannot be read; nil if it can.
  local function fault_of(client, m)
    if m.err then return 'it is not a hash' end
    if not (m[1] or m[2] or m[3]) then return 'it is not stored' end
    if m[3] ~= client then return 'it names another client' end
    if not STATUSES[m[1]] then return 'its status is unknown' end
    if m[1] ~= 'queued' and m[1] ~= 'in_flight' then return nil end
    if not (m[6] and m[7]) then return 'its content is missing' end
    if not (tonumber(m[8]) and tonumber(m[10])) then return 'its times are missing' end
  end

  -- Dead-letters a message that cannot be read, so that it does not block the other messages of the shard.
  local function give_up(client, id, m, fault)
    ends[5] = ends[5] + 1
    dead_letter(client, UNREADABLE_RECORD, 'the stored message ' .. id .. ' cannot be read: ' .. fault)
    remove_from_outbox(client, id)
    if m[3] ~= client then return call('ZREM', KEYS.expiry, id) end
    if m[1] ~= 'in_flight' then m[1] = 'queued' end
    move(id, m, 'failed', 'failed', 'the stored message cannot be read: ' .. fault)
  end

  -- Claims the first message of an outbox that may be published, or releases the connection if there is none.
  local function claim(client, online, account, account_asked)
    local outbox = KEYS.outbox_prefix .. client
    while true do
      local id = redis.pcall('LINDEX', outbox, 0)
      if not id then return release(client, 1) end
      if type(id) ~= 'string' then
        ends[5] = ends[5] + 1
        remove_outbox(client)
        return release(client, 1)
      end
      if finished == MAX_FINISHED or claimed_bytes >= MAX_CLAIMED_BYTES then return release(client, 4, micros) end
      finished = finished + 1
      local m = load(id, 'directive', 'payload', 'expires_at', 'request_id', 'created_at', 'attempts')
      local fault = fault_of(client, m)
      local queued, in_flight = m[1] == 'queued', m[1] == 'in_flight'
      local left_ms = (tonumber(m[8]) or 0) - at
      if fault then
        give_up(client, id, m, fault)
      elseif not queued and not in_flight then
        remove_from_outbox(client, id)
      elseif not account_asked and belongs_elsewhere(m, account, online) then
        fail_moved(client, id, m)
      elseif not online or (account_asked and m[5]) then
        if in_flight then move(id, m, 'queued', online and 'queued' or 'held') end
        return release(client, online and 3 or 2)
      elseif left_ms <= 0 then
        if in_flight then move(id, m, 'queued', 'queued') end
        move(id, m, 'expired', 'expired')
        remove_from_outbox(client, id)
      else
        finished = finished - 1
        local attempt = (tonumber(m[11]) or 0) + 1
        if in_flight then call('HSET', KEYS.message_prefix .. id, 'attempts', attempt)
        else move(id, m, 'in_flight', 'in_flight', nil, 'attempts', attempt) end
        claimed_bytes = claimed_bytes + #m[7]
        reply[#reply + 1] = { client, id, m[6], m[7], left_ms, m[9] or '', attempt, m[10] }
        return
      end
    end
  end

  local function claim_all(clients)
    if #clients > 0 then
      local hosts, accounts = call('ZMSCORE', KEYS.hosts, unpack(clients)), call('HMGET', KEYS.accounts, unpack(clients))
      local asked = call('SMISMEMBER', KEYS.accounts_asked, unpack(clients))
      for i, client in ipairs(clients) do
        claim(client, hosts[i] or call('ZSCORE', KEYS.proxies, client), accounts[i], asked[i] == 1)
      end
    end
    if #released > 0 then call('SREM', KEYS.draining, unpack(released)) end
    if #idle > 0 then call('ZREM', KEYS.woken, unpack(idle)) end
    released, idle = {}, {}
  end

  if is_new then
    -- The id comes from the clock: a counter could repeat a number after Redis has lost its last writes.
    reply[1] = string.format('%.0f', micros)
    call('SET', KEYS.drain_run, reply[1])
    call('DEL', KEYS.waking)
  elseif call('GET', KEYS.drain_run) ~= run then
    each_settlement(function(client, id, attempt, outcome, details)
      if outcome == 'sent' then complete(client, id, attempt, outcome, details) end
    end)
    reply[2] = 'superseded'
    return reply
  else
    local completed = {}
    each_settlement(function(client) completed[#completed + 1] = client end)
    local matches = under_way + #completed == call('SCARD', KEYS.draining)
    for _, is_draining in ipairs(#completed > 0 and call('SMISMEMBER', KEYS.draining, unpack(completed)) or {}) do
      matches = matches and is_draining == 1
    end
    if not matches then
      reply[2] = 'lost'
      return reply
    end
  end

  local continuing, is_released = {}, {}
  each_settlement(function(client, id, attempt, outcome, details)
    local wait = complete(client, id, attempt, outcome, details)
    is_released[client] = wait or room < 0
    if wait then release(client, 3, micros + wait * 1000)
    elseif room < 0 and call('EXISTS', KEYS.outbox_prefix .. client) == 1 then release(client, 4, micros)
    elseif room < 0 then release(client, 1)
    elseif not is_new then continuing[#continuing + 1] = client end
  end)
  if is_new then
    for _, client in ipairs(call('SMEMBERS', KEYS.draining)) do
      if not is_released[client] then continuing[#continuing + 1] = client end
    end
    room = math.max(0, room - #continuing)
  end
  claim_all(continuing)
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
    claim_all(taken)
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
