#!lua flags=allow-oom
-- One step of the owner of a shard's outbound side: completes the published messages of connections, claims the next message
-- of each, and claims the messages of connections that are ready.
-- The head of an outbox is the message in flight; it leaves the list only when it is completed. Behind a head that was sent,
-- further messages are claimed ahead (`claims-ahead.lua`): the owner publishes them without asking in between. `claimed` has
-- the connections with a message in flight. If the owner dies, the next owner claims their messages again, under the same ids.
-- A step may be repeated: a message that is in flight is claimed again with a new attempt, and a connection that was left is
-- left alone.
--
-- KEYS hosts, proxies, accounts, accounts_asked, ready, claimed, claims, outbound_owner
-- ARGV fence, read_to, room, first_wait_ms, longest_wait_ms, results...
--   read_to: entries of the stream of claims up to this one have been read, and are removed; '' for none
--   room: how many connections may be taken from the ready ones; -1 if those that are completed must not continue either
--   results: for each publish its client id, message id, attempt, outcome, details, when it was published in ms ('' if it was
--     not), and the last message of the connection that the owner still holds ('' for none). Those of a connection are in the
--     order of its outbox, and all but the last one are `sent`. Without a message id, an earlier owner has claimed the head.
--     After `unwritten`, the head of the outbox is claimed again.
-- Reply: nil if the caller is not the owner; otherwise Redis' time in ms, the number of connections with a message in
--   flight, the number of entries of the stream that have not been read, milliseconds until a connection is ready (-1 if none
--   will be), the number of connections that were left by reason (`LEFT_BECAUSE`) followed by the number of unreadable records and
--   that of messages that have failed because their time to live has ended and nobody knows whether they were published,
--   the connections of which the owner must not publish what it still holds, and for each claimed message its client id,
--   message id, directive, payload, expires at, request id, attempt, created at, whether another one waits behind it (0/1)

--- @include "account-check"
--- @include "claims-ahead"
--- @include "expire-message"
--- @include "ready-in"
--- @include "stream-id"

-- Messages that one step may finish without publishing them, because they have expired, moved or are unreadable.
local MAX_FINISHED = 500
-- Limit for the payloads that one step claims, since a reply is in memory as a whole. The last payload may exceed it.
local MAX_CLAIMED_BYTES = 16777216
-- Messages that one step claims ahead, and limit for the payloads of those of one connection.
local MAX_AHEAD = 500
local MAX_AHEAD_BYTES = 262144
local RESULT_MEMBERS = 7

return with_log(function()
  if call('GET', KEYS.outbound_owner) ~= ARGV.fence then return false end
  local room = tonumber(ARGV.room)
  local first_wait, longest_wait = tonumber(ARGV.first_wait_ms), tonumber(ARGV.longest_wait_ms)
  local left_because = { 0, 0, 0, 0, 0, 0 }
  local finished, claimed_bytes, ahead = 0, 0, 0
  local claims = {}
  -- Connections that are left, and those of them that have nothing to retry.
  local left, idle = {}, {}
  -- For connections: the message that the owner has not written.
  local not_written = {}

  -- Removes a finished message from the outbox. An earlier owner may have put the message back: then it is published again.
  local function drop_if_finished(client, id, m)
    if m.status ~= 'queued' and m.status ~= 'in_flight' then remove_from_outbox(client, id) end
  end

  -- Returns the milliseconds until the next attempt if one is needed, and the message. A later claim wins.
  local function complete(client, id, attempt, outcome, details, published_at)
    if id == '' then return take_as_published(client) end
    local m = load(id)
    local claimed_as, when, was_ahead = m.attempts or 0, at_text, is_ahead(m)
    if was_ahead then
      claimed_as = claimed_as + 1
      if published_at ~= '' then when = plain(math.min(at, published_at)) end
    end
    local stale = claimed_as > 0 and plain(claimed_as) ~= attempt
    if outcome == 'sent' or (outcome == 'failed' and not stale) then
      if outcome == 'failed' and m.status == 'in_flight' then put_back(client, 'queued', id) end
      if was_ahead then note_publish(id, m, when) end
      move(id, m, outcome, outcome, details)
      drop_if_finished(client, id, m)
    elseif outcome == 'unwritten' then
      not_written[client] = id
      put_back(client, 'queued', not was_ahead and id)
    elseif not stale then
      local no_subscribers = outcome == 'no-subscribers'
      local shown = no_subscribers and 'held' or 'queued'
      if m.status == 'in_flight' then put_back(client, shown, id) end
      m.no_subscribers = no_subscribers
      if no_subscribers then add_held(client) end
      if was_ahead then note_publish(id, m, when) end
      if move(id, m, 'queued', shown, details) then
        return math.min(longest_wait, first_wait * 2 ^ math.min(math.max(claimed_as, 1) - 1, 20))
      end
      drop_if_finished(client, id, m)
    end
    return nil, m
  end

  -- Leaves a connection; `retry_at` in microseconds. A client that came online in the meantime is retried at once.
  local function leave(client, reason, retry_at)
    left_because[reason] = left_because[reason] + 1
    left[#left + 1] = client
    if not retry_at then idle[#idle + 1] = client
    elseif call('ZADD', KEYS.ready, 'NX', string.format('%.0f', retry_at), client) == 0 then
      call('ZADD', KEYS.ready, 'LT', micros, client)
    end
  end

  -- Dead-letters a message that cannot be read, so that it does not block the other messages of the shard.
  local function give_up(client, id, m, fault)
    left_because[5] = left_because[5] + 1
    dead_letter(client, UNREADABLE_RECORD, 'the stored message ' .. id .. ' cannot be read: ' .. fault)
    remove_from_outbox(client, id)
    if m.client ~= client then return call('ZREM', KEYS.expiry, id) end
    if m.status ~= 'in_flight' then m.status = 'queued' end
    move(id, m, 'failed', 'failed', 'the stored message cannot be read: ' .. fault)
  end

  local function add_claim(client, id, m, payload, attempt, is_followed)
    claimed_bytes = claimed_bytes + #payload
    claims[#claims + 1] = {
      client, id, m.directive, payload, plain(m.created + m.ttl), m.request, attempt, plain(m.created), is_followed and 1 or 0,
    }
  end

  -- Whether nobody knows whether a message in flight was published: an earlier owner has claimed it. Its history has one line for all
  -- claims that followed each other.
  local function is_outcome_unknown(client, id, m)
    if m.status ~= 'in_flight' then return false end
    local _, claimed = string.gsub('\t' .. m.history, '\ti%-?%d', '')
    return not_written[client] ~= id or m.attempts > claimed
  end

  local function has_expired(m) return m.created + m.ttl <= at end

  -- Claims what follows a claimed message of a connection. What is in the way is left to the claim of the head.
  local function claim_following(client, id, account, online)
    local ids = call('LRANGE', KEYS.outbox_prefix .. client, 0, MAX_IN_FLIGHT)
    local from, bytes = MAX_IN_FLIGHT, 0
    for i, one in ipairs(ids) do
      if one == id then from = i break end
    end
    for i = from + 1, math.min(#ids, MAX_IN_FLIGHT) do
      if ahead == MAX_AHEAD or claimed_bytes >= MAX_CLAIMED_BYTES then return end
      local m = load(ids[i])
      if fault_of(m) or m.client ~= client or (m.status ~= 'queued' and m.status ~= 'in_flight') or has_expired(m) then return end
      local payload = payload_of(ids[i], m)
      if not payload then return end
      bytes = bytes + #payload
      if belongs_elsewhere(m, account, online) or bytes > MAX_AHEAD_BYTES then return end
      local attempt = m.attempts + 1
      if m.status == 'queued' then
        claim_ahead(ids[i], m)
      elseif not is_ahead(m) then
        m.attempts = attempt
        save(ids[i], m)
      end
      ahead = ahead + 1
      add_claim(client, ids[i], m, payload, attempt, ids[i + 1])
    end
  end

  -- The first two messages of an outbox. If there are none, the connection is left.
  local function first_of(client)
    local first = redis.pcall('LRANGE', KEYS.outbox_prefix .. client, 0, 1)
    if first[1] then return first end
    if first.err then
      left_because[5] = left_because[5] + 1
      remove_outbox(client)
    end
    leave(client, 1)
  end

  -- Claims the first message of an outbox that may be published, or leaves the connection if there is none. Claims also what
  -- follows if the one before was sent.
  local function claim(client, first, online, account, account_asked, was_sent)
    while first do
      local id = first[1]
      if finished == MAX_FINISHED or claimed_bytes >= MAX_CLAIMED_BYTES then return leave(client, 4, micros) end
      finished = finished + 1
      local m = load(id)
      local fault = fault_of(m) or (m.client ~= client and 'it names another client')
      local payload = not fault and payload_of(id, m)
      if not payload then fault = fault or 'its content is missing' end
      local was_ahead = is_ahead(m)
      if was_ahead then give_back(m) end
      local queued, in_flight = m.status == 'queued', m.status == 'in_flight'
      if fault then
        give_up(client, id, m, fault)
      elseif not queued and not in_flight then
        remove_from_outbox(client, id)
      elseif not account_asked and belongs_elsewhere(m, account, online) then
        fail_moved(client, id, m)
      elseif not online or (account_asked and m.account) then
        local shown = online and 'queued' or 'held'
        if in_flight or was_ahead then put_back(client, shown, id) end
        local details = is_outcome_unknown(client, id, m) and OUTCOME_UNKNOWN or nil
        if in_flight then move(id, m, 'queued', shown, details) elseif was_ahead then save(id, m) end
        return leave(client, online and 3 or 2)
      elseif has_expired(m) then
        if expire(id, m, is_outcome_unknown(client, id, m)) == 'failed' then left_because[6] = left_because[6] + 1 end
        remove_from_outbox(client, id)
      else
        finished = finished - 1
        m.attempts = m.attempts + 1
        if in_flight then save(id, m) else move(id, m, 'in_flight', 'in_flight') end
        add_claim(client, id, m, payload, m.attempts, first[2])
        if was_sent and first[2] and not account_asked then claim_following(client, id, account, online) end
        return
      end
      first = first_of(client)
    end
  end

  -- act(client, online, account, account_asked)
  local function for_each_client(clients, act)
    if #clients == 0 then return end
    local hosts, accounts = call('ZMSCORE', KEYS.hosts, unpack(clients)), call('HMGET', KEYS.accounts, unpack(clients))
    local asked = call('SMISMEMBER', KEYS.accounts_asked, unpack(clients))
    for i, client in ipairs(clients) do
      act(client, hosts[i] or call('ZSCORE', KEYS.proxies, client), accounts[i], asked[i] == 1)
    end
  end

  -- was_sent: by client, whether the message before was sent
  local function claim_all(clients, was_sent)
    local firsts, waiting = {}, {}
    for _, client in ipairs(clients) do
      firsts[client] = first_of(client)
      if firsts[client] then waiting[#waiting + 1] = client end
    end
    for_each_client(waiting, function(client, online, account, account_asked)
      claim(client, firsts[client], online, account, account_asked, was_sent[client])
    end)
  end

  -- Goes on with connections whose messages are completed. Mostly nothing waits behind: one command says so of all.
  local function continue_all(clients, was_sent)
    if #clients > 1 then
      local outboxes = {}
      for i, client in ipairs(clients) do outboxes[i] = KEYS.outbox_prefix .. client end
      if call('EXISTS', unpack(outboxes)) == 0 then
        for _, client in ipairs(clients) do leave(client, 1) end
        return
      end
    end
    claim_all(clients, was_sent)
  end

  local function write_left()
    if #left > 0 then call('SREM', KEYS.claimed, unpack(left)) end
    if #idle > 0 then call('ZREM', KEYS.ready, unpack(idle)) end
    left, idle = {}, {}
  end

  -- The connections with results, and for each the place of its last one.
  local completed, last, is_claimed = {}, {}, {}
  for i = ARGV.results, #ARGV, RESULT_MEMBERS do
    if not last[ARGV[i]] then completed[#completed + 1] = ARGV[i] end
    last[ARGV[i]] = i
  end
  for n, one in ipairs(#completed > 0 and call('SMISMEMBER', KEYS.claimed, unpack(completed)) or {}) do
    is_claimed[completed[n]] = one == 1
  end
  -- Connections of which the owner holds nothing more, and those of which it publishes further messages.
  local continuing, publishing, stopped, last_claimed, sent = {}, {}, {}, {}, {}
  for i = ARGV.results, #ARGV, RESULT_MEMBERS do
    local client, id, attempt, outcome, details, published_at, newest = unpack(ARGV, i, i + RESULT_MEMBERS - 1)
    local wait, message = complete(client, id, attempt, outcome, details, published_at)
    if wait then leave(client, 3, micros + wait * 1000)
    -- If the connection is not claimed, this step is the repeat of one whose reply was lost, and which has left it.
    elseif i == last[client] and is_claimed[client] then
      if outcome == 'sent' then sent[client] = message end
      if newest ~= '' and outcome == 'sent' then
        last_claimed[client], publishing[#publishing + 1] = newest, client
      elseif room >= 0 then
        continuing[#continuing + 1] = client
      elseif call('EXISTS', KEYS.outbox_prefix .. client) == 1 then
        put_back(client, 'queued')
        leave(client, 4, micros)
      else
        leave(client, 1)
      end
    end
  end
  for_each_client(publishing, function(client, online, account, account_asked)
    if not online or account_asked or belongs_elsewhere(sent[client], account, online) then
      stopped[#stopped + 1] = client
    elseif room >= 0 then
      claim_following(client, last_claimed[client], account, online)
    end
  end)
  continue_all(continuing, sent)
  write_left()
  if room > 0 then
    local ready = call('ZRANGE', KEYS.ready, '-inf', micros, 'BYSCORE', 'LIMIT', 0, room)
    local taken = {}
    for i, one in ipairs(#ready > 0 and call('SMISMEMBER', KEYS.claimed, unpack(ready)) or {}) do
      if one == 0 then taken[#taken + 1] = ready[i]
      else call('ZADD', KEYS.ready, '+inf', ready[i]) end
    end
    if #taken > 0 then
      call('SADD', KEYS.claimed, unpack(taken))
      call('ZREM', KEYS.ready, unpack(taken))
    end
    claim_all(taken, {})
    write_left()
  end
  if ARGV.read_to ~= '' then call('XTRIM', KEYS.claims, 'MINID', following(ARGV.read_to)) end

  local unread, ready_in = call('XLEN', KEYS.claims), ready_in_ms(KEYS.ready)
  return { at, call('SCARD', KEYS.claimed), unread, ready_in, left_because, stopped, unpack(claims) }
end, write_costs)
