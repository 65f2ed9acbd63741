-- Accepts messages of one shard: checks each connection and appends to its outbox. A refused message has no effect on the
-- others. Fails at its first write if Redis is full.
-- If a dispatcher owns the outbound side of the shard, the message of a client that is online and has an empty outbox is
-- claimed for it at once, and appended to the stream of claims. Other messages wait in their outboxes; if the owner would not
-- look there by itself, the script rings its bell, which is an entry of the same stream.
--
-- KEYS hosts, proxies, connections, accounts, accounts_asked, messages_prefix, idempotency_prefix, ready, claimed, claims
-- KEYS outbound_owner, outbound_closing, swept, expiry, outbox_bytes
-- ARGV outbox_limit, shard_limit, retention_ms, idempotency_ms, account, outbox_bytes, shard_bytes, payer, refuse, gateway
-- ARGV messages...
--   account: the account to which the caller is bound, '' for none
--   payer: the payer of the messages
--   refuse: why no new message may be stored, '' if it may
--   gateway: the gateway that waits until the messages are final, '' for none
--   messages: for each message its client id, message id, directive, payload ('' for none), time to live in ms, reject
--     when offline (0/1), request id, fingerprint ('' without Idempotency-Key), Idempotency-Key, response timeout in ms ('' for
--     none); at most 1,000 messages, since Lua's stack has to hold two arguments for each
-- Reply: whether the caller must activate the outbound side of the shard (0/1), the number of the payer's messages in flight
--   in this shard, then for each message why it was refused, or
--   message id, directive, created at, expires at, online (0/1), replayed (0/1)

--- @include "message-record"
--- @include "message-events"
--- @include "outbox"

local MEMBERS = 10
-- Claims that the owner has not read, at most: they hold a second copy of their payloads. Larger payloads are not copied.
local MAX_UNREAD = 1000
local MAX_COPIED_BYTES = 16384
-- Bytes that the answer to an Idempotency-Key takes in Redis in addition to its key, directive and account.
local REPLAY_BYTES = 224

return with_log(function()
  local outbox_limit, shard_limit = tonumber(ARGV.outbox_limit), tonumber(ARGV.shard_limit)
  local outbox_bytes, shard_bytes = tonumber(ARGV.outbox_bytes), tonumber(ARGV.shard_bytes)
  local payer, refuse, gateway, caller_account, first = ARGV.payer, ARGV.refuse, ARGV.gateway, ARGV.account, ARGV.messages
  local idempotency_prefix, kept = KEYS.idempotency_prefix, tonumber(ARGV.retention_ms)
  local count = (#ARGV - first + 1) / MEMBERS
  local ids, clients, expiries, ready, claimed, replies = {}, {}, {}, {}, {}, { 0, 0 }
  local lease = call('MGET', KEYS.outbound_owner, KEYS.outbound_closing)
  local has_owner = lease[1] and true or false
  -- How many more messages may be claimed for the owner.
  local room = has_owner and not lease[2] and MAX_UNREAD - call('XLEN', KEYS.claims) or 0

  local function unknown() return call('EXISTS', KEYS.swept) == 1 and 'unknown' or 'building' end

  for i = first, #ARGV, MEMBERS do
    local id = ARGV[i]
    if not clients[id] then
      ids[#ids + 1] = id
      clients[id] = { id = id, outbox = KEYS.outbox_prefix .. id }
    end
  end
  local accounts, hosts = call('HMGET', KEYS.accounts, unpack(ids)), call('ZMSCORE', KEYS.hosts, unpack(ids))
  local counters = { '', payer, IN_FLIGHT_OF .. payer }
  for i, id in ipairs(ids) do counters[i + 3] = 'client:' .. id end
  local counted = call('HMGET', KEYS.outbox_bytes, unpack(counters))
  local shard_total, payer_total = tonumber(counted[1]) or 0, tonumber(counted[2]) or 0
  local in_flight = tonumber(counted[3]) or 0
  -- Each unfinished message counts with `MESSAGE_BYTES` or more, so mostly its bytes show that there are not too many.
  local function may_exceed(bytes, limit) return bytes / MESSAGE_BYTES > limit - count end
  local unfinished = may_exceed(shard_total, shard_limit) and call('ZCARD', KEYS.expiry) or 0
  -- The first message is accepted even if it alone exceeds the budget.
  local function exceeds(bytes, more, limit) return bytes > 0 and bytes + more > limit end
  for i, id in ipairs(ids) do
    local client = clients[id]
    client.account = accounts[i]
    client.foreign = caller_account ~= '' and client.account ~= caller_account
    client.online = hosts[i] or call('ZSCORE', KEYS.proxies, id)
    client.known = client.online or call('HEXISTS', KEYS.connections, id) == 1
    client.bytes = tonumber(counted[i + 3]) or 0
    client.length = may_exceed(client.bytes, outbox_limit) and outbox_length(id) or 0
  end

  -- Appends to an outbox. Its length before the first append of this call shows whether others wait in it. Returns false if that
  -- is not possible and the message is stored already.
  local function push(client, id)
    local length = redis.pcall('RPUSH', client.outbox, id)
    if type(length) ~= 'number' then
      -- It is not a list, or Redis is full: then this fails again.
      if load(id).created then return false end
      outbox_length(client.id)
      length = call('RPUSH', client.outbox, id)
    end
    client.length, client.was = length, client.was or length - 1
    return true
  end

  -- Whether a message that was appended is to be claimed for the owner: nothing is before it, and nothing prevents its publish.
  local function claims_at_once(client, payload)
    if room <= 0 or not client.online or client.length > 1 or #payload > MAX_COPIED_BYTES then return false end
    return not (client.account and call('SISMEMBER', KEYS.accounts_asked, client.id) == 1)
  end

  -- Whether the answer to an Idempotency-Key is about a message of another account than the client's; such an answer is not
  -- replayed. Answers of earlier releases do not name the account, but their messages do while they are stored.
  local function of_another_account(client, id, account)
    if not client.account then return false end
    account = account or load(id).account or ''
    return account ~= client.account and (account ~= '' or caller_account ~= '')
  end

  -- The reply for a message that is stored already: a repeat of this call, after its reply was lost, may even have come before
  -- it. Otherwise the refusal.
  local function repeated(client, id, directive, refusal)
    local m = load(id)
    if refusal and not m.created then return refusal end
    if not has_owner then replies[1] = 1 end
    local created = m.created or at
    return { id, directive, plain(created), plain(created + (m.ttl or 0)), client.online and 1 or 0, 0 }
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
        -- The caller repeats the request because the reply was lost, and with it the request to activate the shard.
        if answer[2] == id and not has_owner then replies[1] = 1 end
        return { answer[2], answer[6], answer[3], answer[4], tonumber(answer[5]), answer[2] == id and 0 or 1 }
      end
    end
    if not client.known then return repeated(client, id, directive, unknown()) end
    if online == 0 and rejects then return repeated(client, id, directive, 'offline') end
    if refuse ~= '' then return repeated(client, id, directive, refuse) end
    local bytes = MESSAGE_BYTES + #directive + #payload + (fingerprint ~= '' and #key or 0)
    local replay_bytes = fingerprint ~= '' and REPLAY_BYTES + #key + #(client.account or '') or 0
    local finished_bytes = FINISHED_MESSAGE_BYTES + #directive + #client.id + replay_bytes
    local refusal
    if client.length >= outbox_limit or exceeds(client.bytes, bytes, outbox_bytes) then refusal = 'full'
    elseif unfinished >= shard_limit or exceeds(shard_total, bytes, shard_bytes) then refusal = 'shard-full'
    elseif exceeds(payer_total, bytes, shard_bytes / 2) then refusal = 'account-full' end
    if refusal then return repeated(client, id, directive, refusal) end
    local ttl = tonumber(ttl_ms)
    local expires_text = plain(at + ttl)
    if not push(client, id) then return repeated(client, id, directive) end
    local at_once = claims_at_once(client, payload)
    local record, has_payload_key = store_new(id, {
      status = at_once and 'in_flight' or 'queued', attempts = at_once and 1 or 0, created = at, ttl = ttl, kept = kept,
      bytes = bytes, finished_bytes = finished_bytes, payer = payer, client = client.id, account = client.account,
      idempotency = fingerprint ~= '' and idempotency or nil, directive = directive, request = request_id,
      response_timeout = tonumber(ARGV[i + 9]), waiting_gateways = gateway ~= '' and gateway or nil,
      history = at_once and 'q0\ti0' or 'q0', payload = payload,
    })
    if not record then
      -- The former call has appended it.
      call('RPOP', client.outbox)
      client.length = client.length - 1
      return repeated(client, id, directive)
    end
    expiries[#expiries + 1], expiries[#expiries + 2] = expires_text, id
    unfinished = unfinished + 1
    client.bytes, shard_total, payer_total = client.bytes + bytes, shard_total + bytes, payer_total + bytes
    -- Keeps the order of acceptance within one call as well: accepting a message takes more than a microsecond.
    call('ZADD', KEYS.messages_prefix .. client.id, string.format('%d', micros + number), id)
    append_status(client.id, client.account, id, client.online and 'queued' or 'held', nil, nil, at_once and 'in_flight')
    if not client.online and not client.held then
      client.held = true
      add_held(client.id)
    end
    if at_once then
      if has_payload_key then call('XADD', KEYS.claims, '*', id, record, 'payload', payload)
      else call('XADD', KEYS.claims, '*', id, record) end
      claimed[#claimed + 1], client.claimed, room, in_flight = client.id, true, room - 1, in_flight + 1
    elseif client.online and not client.claimed and not client.ready then
      client.ready = true
      ready[#ready + 1] = client.id
    end
    if fingerprint ~= '' then
      call('HSET', key, 'fingerprint', fingerprint, 'id', id, 'created', at_text, 'expires', expires_text,
        'online', online, 'directive', directive, 'account', client.account or '')
      call('PEXPIRE', key, ARGV.idempotency_ms)
    end
    return { id, directive, at_text, expires_text, online, 0 }
  end

  for number = 1, count do
    replies[number + 2] = accept(number, first + (number - 1) * MEMBERS)
  end
  if #expiries > 0 then
    call('ZADD', KEYS.expiry, unpack(expiries))
    local totals = { '', string.format('%d', shard_total), payer, string.format('%d', payer_total) }
    if #claimed > 0 then totals[5], totals[6] = counters[3], string.format('%d', in_flight) end
    for i, id in ipairs(ids) do
      if clients[id].bytes > (tonumber(counted[i + 3]) or 0) then
        totals[#totals + 1], totals[#totals + 2] = counters[i + 3], string.format('%d', clients[id].bytes)
      end
    end
    call('HSET', KEYS.outbox_bytes, unpack(totals))
  end
  if #claimed > 0 then call('SADD', KEYS.claimed, unpack(claimed)) end
  -- The connections of which a message waits behind a single one: the owner may have put off the completion of that one.
  local followed, arrived = {}, {}
  for _, id in ipairs(claimed) do
    if clients[id].length > 1 then followed[#followed + 1] = id end
  end
  for i, is_claimed in ipairs(#ready > 0 and call('SMISMEMBER', KEYS.claimed, unpack(ready)) or {}) do
    if is_claimed == 0 then arrived[#arrived + 1], arrived[#arrived + 2] = micros, ready[i]
    elseif clients[ready[i]].was == 1 then followed[#followed + 1] = ready[i] end
  end
  -- If another connection is ready already, the owner was rung for it, or the shard is being activated.
  local is_first = #arrived > 0 and call('ZCOUNT', KEYS.ready, '-inf', micros) == 0
  if #arrived > 0 then call('ZADD', KEYS.ready, 'LT', unpack(arrived)) end
  if has_owner then
    for _, id in ipairs(followed) do call('XADD', KEYS.claims, '*', 'bell', id) end
    if is_first then call('XADD', KEYS.claims, '*', 'bell', '') end
  end
  if is_first and not has_owner then replies[1] = 1 end
  replies[2] = in_flight
  return replies
end)
