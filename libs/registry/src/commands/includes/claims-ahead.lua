-- Messages that the owner of a shard's outbound side has claimed ahead: they wait behind the message of their connection that is
-- being published. They are in flight, but have neither a line in their history nor an event nor an attempt before it is known
-- that they were published. The messages in flight of a connection are always the first ones of its outbox.
--
-- MAX_IN_FLIGHT: how many messages of a connection may be in flight, the one that is being published included.
-- is_ahead(message): whether a loaded message is claimed ahead.
-- claim_ahead(id, message): claims a loaded message ahead.
-- give_back(message): makes a loaded message that is claimed ahead `queued`; the caller writes it.
-- write_status(id, message): writes the status of a loaded message.
-- note_publish(id, message, when): notes that a message was published, if it was claimed ahead. Its first further field must be
--   `attempts`. Returns the fields that the caller writes, with the history.
-- put_back(client, shown, kept): puts the messages in flight of a connection back to `queued`, except the one with the id
--   `kept`. Those that are claimed ahead were not published, so there is nothing to note. The others get an event with the
--   status `shown`.
-- take_as_published(client): notes a publish in all messages of a connection that are claimed ahead. It is for claims of an
--   owner that cannot be asked.
--
-- KEYS message_prefix, outbox_prefix

--- @include "move-message"

local MAX_IN_FLIGHT = 16

local function is_ahead(message)
  if message[1] ~= 'in_flight' then return false end
  local history = message[2] or ''
  return not (string.find(history, '\nin_flight %d+$') or string.find(history, '^in_flight %d+$'))
end

local function write_status(id, message) call('HSET', KEYS.message_prefix .. id, 'status', message[1]) end

local function claim_ahead(id, message)
  message[1] = 'in_flight'
  count_in_flight(message, 1)
  write_status(id, message)
end

local function give_back(message)
  message[1] = 'queued'
  count_in_flight(message, -1)
end

local function note_publish(id, message, when)
  if not is_ahead(message) then return end
  message[2] = with_line(message[2] or '', 'in_flight ' .. when)
  append_status(message[3], message[5], id, 'in_flight', nil, when)
  return 'attempts', (tonumber(message[6]) or 0) + 1
end

-- Calls act(id, message) for the messages in flight of a connection.
local function for_each_in_flight(client, act)
  local ids = redis.pcall('LRANGE', KEYS.outbox_prefix .. client, 0, MAX_IN_FLIGHT - 1)
  if ids.err then return end
  for _, id in ipairs(ids) do
    local message = load(id, 'attempts')
    if message[1] == 'queued' then return end
    if message[1] == 'in_flight' then act(id, message) end
  end
end

local function put_back(client, shown, kept)
  for_each_in_flight(client, function(id, message)
    if id == kept then return end
    if not is_ahead(message) then return move(id, message, 'queued', shown) end
    give_back(message)
    write_status(id, message)
  end)
end

local function take_as_published(client)
  for_each_in_flight(client, function(id, message)
    if not is_ahead(message) then return end
    local field, attempts = note_publish(id, message, at_text)
    call('HSET', KEYS.message_prefix .. id, field, attempts, 'history', message[2])
  end)
end
