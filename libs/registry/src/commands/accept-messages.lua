-- Accepts messages of one shard: checks each connection and appends to its outbox. A refused message has no effect on the
-- others. Fails at its first write if Redis is full.
--
-- KEYS hosts, proxies, connections, accounts, todo, messages_prefix, idempotency_prefix, woken, draining, waking, swept
-- ARGV outbox_limit, shard_limit, retention_ms, wake_grace_ms, idempotency_ms, account, outbox_bytes, shard_bytes, payer
-- ARGV refuse, messages...
--   account: the account to which the caller is bound, '' for none
--   payer: the payer of the messages
--   refuse: why no new message may be stored, '' if it may
--   messages: for each message its client id, message id, directive, payload ('' for none), time to live in ms, reject
--     when offline (0/1), request id, fingerprint ('' without Idempotency-Key), Idempotency-Key; at most 1,000 messages,
--     since Lua's stack has to hold two arguments for each
-- Reply: whether the caller must wake a dispatcher for the shard (0/1), then for each message why it was refused, or
--   message id, directive, created at, expires at, online (0/1), replayed (0/1)

--- @include "move-message"
--- @include "outbox"

local MEMBERS = 9
-- TTL of the wake lock: if the gateway that took it has not enqueued a wake-up by then, the next accepted message of the
-- shard asks for one again.
local WAKE_LOCK_MS = 1000
-- Bytes that the answer to an Idempotency-Key takes in Redis in addition to its key, directive and account.
local REPLAY_BYTES = 224

return with_log(function()
  local outbox_limit, shard_limit = tonumber(ARGV.outbox_limit), tonumber(ARGV.shard_limit)
  local outbox_bytes, shard_bytes = tonumber(ARGV.outbox_bytes), tonumber(ARGV.shard_bytes)
  local payer, refuse, caller_account, first = ARGV.payer, ARGV.refuse, ARGV.account, ARGV.messages
  local wake_at = string.format('%.0f', at + tonumber(ARGV.wake_grace_ms))
  local message_prefix, idempotency_prefix = KEYS.message_prefix, KEYS.idempotency_prefix
  local unfinished = call('ZCARD', KEYS.expiry)
  local ids, clients, expiries, woken, queued, replies = {}, {}, {}, {}, false, { 0 }

  local function unknown() return call('EXISTS', KEYS.swept) == 1 and 'unknown' or 'building' end

  for i = first, #ARGV, MEMBERS do
    local id = ARGV[i]
    if not clients[id] then
      ids[#ids + 1] = id
      clients[id] = { id = id, outbox = KEYS.outbox_prefix .. id, index = KEYS.messages_prefix .. id }
    end
  end
  local accounts, hosts = call('HMGET', KEYS.accounts, unpack(ids)), call('ZMSCORE', KEYS.hosts, unpack(ids))
  local draining = call('SMISMEMBER', KEYS.draining, unpack(ids))
  local counters = { '', payer }
  for i, id in ipairs(ids) do counters[i + 2] = 'client:' .. id end
  local counted = call('HMGET', KEYS.outbox_bytes, unpack(counters))
  local shard_total, payer_total = tonumber(counted[1]) or 0, tonumber(counted[2]) or 0
  -- The first message is accepted even if it alone exceeds the budget.
  local function exceeds(bytes, more, limit) return bytes > 0 and bytes + more > limit end
  for i, id in ipairs(ids) do
    local client = clients[id]
    client.account = accounts[i]
    client.foreign = caller_account ~= '' and client.account ~= caller_account
    client.online = hosts[i] or call('ZSCORE', KEYS.proxies, id)
    client.known = client.online or call('HEXISTS', KEYS.connections, id) == 1
    client.length = outbox_length(id)
    client.bytes = tonumber(counted[i + 2]) or 0
    -- If a run has the connection, it will find the message.
    client.woken = draining[i] == 1
  end

  -- Whether the answer to an Idempotency-Key is about a message of another account than the client's; such an answer is not
  -- replayed. Answers of earlier releases do not name the account, but their messages do while they are stored.
  local function of_another_account(client, id, account)
    if not client.account then return false end
    account = account or call('HGET', message_prefix .. id, 'account') or ''
    return account ~= client.account and (account ~= '' or caller_account ~= '')
  end

  local function accept(number, i)
    local client, id, directive, payload, ttl_ms = clients[ARGV[i]], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local rejects, request_id, fingerprint, idempotency = ARGV[i + 5] == '1', ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
    local online = client.online and 1 or 0
    if client.foreign then return unknown() end
    local key = idempotency_prefix .. client.id .. '/' .. idempotency
    if fingerprint ~= '' then
      local answer = redis.pcall('HMGET', key, 'fingerprint', 'id', 'created', 'expires', 'online', 'directive', 'account')
      if answer.err then call('UNLINK', key) end
      if answer[1] and not of_another_account(client, answer[2], answer[7]) then
        if answer[1] ~= fingerprint then return 'mismatch' end
        -- The caller repeats the request because the reply was lost, and with it the request to wake a dispatcher.
        if answer[2] == id and client.online then replies[1] = 1 end
        return { answer[2], answer[6], answer[3], answer[4], tonumber(answer[5]), answer[2] == id and 0 or 1 }
      end
    end
    local stored = call('HMGET', message_prefix .. id, 'created_at', 'expires_at')
    if stored[1] then
      if client.online then replies[1] = 1 end
      return { id, directive, stored[1], stored[2], online, 0 }
    end
    if not client.known then return unknown() end
    if online == 0 and rejects then return 'offline' end
    if refuse ~= '' then return refuse end
    local bytes = MESSAGE_BYTES + #directive + #payload + (fingerprint ~= '' and #key or 0)
    local replay_bytes = fingerprint ~= '' and REPLAY_BYTES + #key + #(client.account or '') or 0
    local finished_bytes = FINISHED_MESSAGE_BYTES + #directive + #client.id + replay_bytes
    if client.length >= outbox_limit or exceeds(client.bytes, bytes, outbox_bytes) then return 'full' end
    if unfinished >= shard_limit or exceeds(shard_total, bytes, shard_bytes) then return 'shard-full' end
    if exceeds(payer_total, bytes, shard_bytes / 2) then return 'account-full' end
    local expires_text = string.format('%.0f', at + tonumber(ttl_ms))
    local fields = { 'client_id', client.id, 'directive', directive, 'payload', payload, 'status', 'queued',
      'created_at', at_text, 'expires_at', expires_text, 'request_id', request_id, 'keep', ARGV.retention_ms,
      'history', 'queued ' .. at_text, 'cost', string.format('%.0f,%.0f ', bytes, finished_bytes) .. payer }
    if client.account then
      fields[#fields + 1], fields[#fields + 2] = 'account', client.account
    end
    if fingerprint ~= '' then
      fields[#fields + 1], fields[#fields + 2] = 'idempotency', idempotency
    end
    call('HSET', message_prefix .. id, unpack(fields))
    client.length = call('RPUSH', client.outbox, id)
    expiries[#expiries + 1], expiries[#expiries + 2] = expires_text, id
    unfinished = unfinished + 1
    client.bytes, shard_total, payer_total = client.bytes + bytes, shard_total + bytes, payer_total + bytes
    -- Keeps the order of acceptance within one call as well: accepting a message takes more than a microsecond.
    call('ZADD', client.index, string.format('%.0f', micros + number), id)
    queued = queued or client.online
    if client.online and not client.woken then
      client.woken = true
      woken[#woken + 1], woken[#woken + 2] = micros, client.id
    end
    append_status(client.id, client.account, id, client.online and 'queued' or 'held')
    if fingerprint ~= '' then
      call('HSET', key, 'fingerprint', fingerprint, 'id', id, 'created', at_text, 'expires', expires_text,
        'online', online, 'directive', directive, 'account', client.account or '')
      call('PEXPIRE', key, ARGV.idempotency_ms)
    end
    return { id, directive, at_text, expires_text, online, 0 }
  end

  for number = 1, (#ARGV - first + 1) / MEMBERS do
    replies[number + 1] = accept(number, first + (number - 1) * MEMBERS)
  end
  if #expiries > 0 then
    call('ZADD', KEYS.expiry, unpack(expiries))
    local totals = { '', string.format('%.0f', shard_total), payer, string.format('%.0f', payer_total) }
    for i, id in ipairs(ids) do
      if clients[id].bytes > (tonumber(counted[i + 2]) or 0) then
        totals[#totals + 1], totals[#totals + 2] = counters[i + 2], string.format('%.0f', clients[id].bytes)
      end
    end
    call('HSET', KEYS.outbox_bytes, unpack(totals))
  end
  if #woken > 0 then call('ZADD', KEYS.woken, 'LT', unpack(woken)) end
  if queued then
    call('ZADD', KEYS.todo, 'LT', wake_at, WAKE_TODO)
    -- No wake-up is needed while a dispatcher drains the shard, or while another gateway has the wake lock.
    if call('EXISTS', KEYS.draining) == 0 and call('SET', KEYS.waking, 1, 'NX', 'PX', WAKE_LOCK_MS) then replies[1] = 1 end
  end
  return replies
end, write_costs)
