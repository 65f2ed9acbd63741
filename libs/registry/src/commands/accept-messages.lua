-- Accepts messages of one shard: checks each connection and appends to its outbox. A message that is refused changes nothing
-- for the others. Fails at its first write when Redis is full.
--
-- KEYS hosts, proxies, connections, accounts, todo, messages_prefix, idempotency_prefix, woken, draining, waking, swept
-- ARGV outbox_limit, shard_limit, retention_ms, wake_grace_ms, idempotency_ms, account, outbox_bytes, shard_bytes, payer
-- ARGV refuse, messages...
--   account: the one that the caller is bound to, '' for none
--   payer: who pays for the messages
--   refuse: why nothing may be stored, '' if it may
--   messages: for each client id, message id, directive, payload ('' for none), time to live in ms, reject when offline
--     (0/1), request id, fingerprint ('' without Idempotency-Key), Idempotency-Key; at most 1,000 messages, as many as fit
--     on the stack of Lua twice
-- Reply: whether the caller is to wake a dispatcher for the shard (0/1), then for each message why it was refused, or
--   message id, directive, created at, expires at, online (0/1), replayed (0/1)

--- @include "move-message"
--- @include "outbox"

local MEMBERS = 9
-- TTL of the wake lock: if the gateway that took it has not enqueued a wake-up by then, the next accepted message of the
-- shard asks for one again.
local WAKING_MS = 1000
-- What the answer to an Idempotency-Key takes in Redis beside the names of its message and of its own key.
local REPLAY_BYTES = 224

return with_log(function()
  local outbox_limit, shard_limit = tonumber(ARGV.outbox_limit), tonumber(ARGV.shard_limit)
  local outbox_bytes, shard_bytes = tonumber(ARGV.outbox_bytes), tonumber(ARGV.shard_bytes)
  local payer, refuse, within, first = ARGV.payer, ARGV.refuse, ARGV.account, ARGV.messages
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
  local weights = { '', payer }
  for i, id in ipairs(ids) do weights[i + 2] = 'client:' .. id end
  local held = call('HMGET', KEYS.outbox_bytes, unpack(weights))
  local in_shard, of_payer = tonumber(held[1]) or 0, tonumber(held[2]) or 0
  -- Who has nothing yet may always have one message, however small the budget is.
  local function exceeds(bytes, more, limit) return bytes > 0 and bytes + more > limit end
  for i, id in ipairs(ids) do
    local client = clients[id]
    client.account = accounts[i]
    client.foreign = within ~= '' and client.account ~= within
    client.online = hosts[i] or call('ZSCORE', KEYS.proxies, id)
    client.known = client.online or call('HEXISTS', KEYS.connections, id) == 1
    client.length = outbox_length(id)
    client.bytes = tonumber(held[i + 2]) or 0
    -- The run that has it will find the message.
    client.woken = draining[i] == 1
  end

  -- An answer about a message that was accepted for another account than the client's is none to whoever asks now. Answers
  -- of earlier releases do not name the account; their messages do, while they are kept.
  local function of_another_account(client, id, account)
    if not client.account then return false end
    account = account or call('HGET', message_prefix .. id, 'account') or ''
    return account ~= client.account and (account ~= '' or within ~= '')
  end

  local function accept(number, i)
    local client, id, directive, payload, ttl_ms = clients[ARGV[i]], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local rejects, request_id, fingerprint, idempotency = ARGV[i + 5] == '1', ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
    local online = client.online and 1 or 0
    if client.foreign then return unknown() end
    local key = idempotency_prefix .. client.id .. '/' .. idempotency
    if fingerprint ~= '' then
      local given = redis.pcall('HMGET', key, 'fingerprint', 'id', 'created', 'expires', 'online', 'directive', 'account')
      if given.err then call('UNLINK', key) end
      if given[1] and not of_another_account(client, given[2], given[7]) then
        if given[1] ~= fingerprint then return 'mismatch' end
        -- Repeated after a lost reply: with it, the word to wake somebody was lost.
        if given[2] == id and client.online then replies[1] = 1 end
        return { given[2], given[6], given[3], given[4], tonumber(given[5]), given[2] == id and 0 or 1 }
      end
    end
    local before = call('HMGET', message_prefix .. id, 'created_at', 'expires_at')
    if before[1] then
      if client.online then replies[1] = 1 end
      return { id, directive, before[1], before[2], online, 0 }
    end
    if not client.known then return unknown() end
    if online == 0 and rejects then return 'offline' end
    if refuse ~= '' then return refuse end
    local bytes = MESSAGE_BYTES + #directive + #payload + (fingerprint ~= '' and #key or 0)
    local replay = fingerprint ~= '' and REPLAY_BYTES + #key + #(client.account or '') or 0
    local kept = FINISHED_MESSAGE_BYTES + #directive + #client.id + replay
    if client.length >= outbox_limit or exceeds(client.bytes, bytes, outbox_bytes) then return 'full' end
    if unfinished >= shard_limit or exceeds(in_shard, bytes, shard_bytes) then return 'shard-full' end
    if exceeds(of_payer, bytes, shard_bytes / 2) then return 'account-full' end
    local expires_text = string.format('%.0f', at + tonumber(ttl_ms))
    local fields = { 'client_id', client.id, 'directive', directive, 'payload', payload, 'status', 'queued',
      'created_at', at_text, 'expires_at', expires_text, 'request_id', request_id, 'keep', ARGV.retention_ms,
      'history', 'queued ' .. at_text, 'cost', string.format('%.0f,%.0f ', bytes, kept) .. payer }
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
    client.bytes, in_shard, of_payer = client.bytes + bytes, in_shard + bytes, of_payer + bytes
    -- In the order of acceptance, also within one call: no message is accepted in less than a microsecond.
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
    local written = { '', string.format('%.0f', in_shard), payer, string.format('%.0f', of_payer) }
    for i, id in ipairs(ids) do
      if clients[id].bytes > (tonumber(held[i + 2]) or 0) then
        written[#written + 1], written[#written + 2] = weights[i + 2], string.format('%.0f', clients[id].bytes)
      end
    end
    call('HSET', KEYS.outbox_bytes, unpack(written))
  end
  if #woken > 0 then call('ZADD', KEYS.woken, 'LT', unpack(woken)) end
  if queued then
    call('ZADD', KEYS.todo, 'LT', wake_at, WAKE_TODO)
    -- No dispatcher has to be woken while one drains the shard, or somebody else is about to wake one.
    if call('EXISTS', KEYS.draining) == 0 and call('SET', KEYS.waking, 1, 'NX', 'PX', WAKING_MS) then replies[1] = 1 end
  end
  return replies
end, write_costs)
