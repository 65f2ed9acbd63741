-- Messages that the owner of a shard's outbound side has claimed ahead: they wait behind the message of their connection that is
-- being published. They are in flight, but have neither a line in their history nor an event nor an attempt before it is known
-- that they were published. The messages in flight of a connection are always the first ones of its outbox.
--
-- MAX_IN_FLIGHT: how many messages of a connection may be in flight, the one that is being published included.
-- is_ahead(message): whether a loaded message is claimed ahead.
-- claim_ahead(id, message): claims a loaded message ahead.
-- give_back(message): makes a loaded message that is claimed ahead `queued`; the caller writes it.
-- note_publish(id, message, when): notes in a loaded message that it was published, if it was claimed ahead; the caller writes
--   it.
-- put_back(client, shown, kept): puts the messages in flight of a connection back to `queued`, except the one with the id
--   `kept`. Those that are claimed ahead were not published, so there is nothing to note. The others get an event with the
--   status `shown`.
-- take_as_published(client): notes a publish in all messages of a connection that are claimed ahead. It is for claims of an
--   owner that cannot be asked.
--
-- KEYS outbox_prefix

--- @include "move-message"

local MAX_IN_FLIGHT = 16

local function is_ahead(message)
  if message.status ~= 'in_flight' then return false end
  return not (string.find(message.history, '\ti%-?%d+$') or string.find(message.history, '^i%-?%d+$'))
end

local function claim_ahead(id, message)
  message.status = 'in_flight'
  count_in_flight(message, 1)
  save(id, message)
end

local function give_back(message)
  message.status = 'queued'
  count_in_flight(message, -1)
end

local function note_publish(id, message, when)
  if not is_ahead(message) then return end
  message.history = with_change(message.history, 'i' .. plain(when - message.created))
  message.attempts = message.attempts + 1
  append_status(message.client, message.account, id, 'in_flight', nil, when)
end

-- Calls act(id, message) for the messages in flight of a connection.
local function for_each_in_flight(client, act)
  local ids = redis.pcall('LRANGE', KEYS.outbox_prefix .. client, 0, MAX_IN_FLIGHT - 1)
  if ids.err then return end
  for _, id in ipairs(ids) do
    local message = load(id)
    if message.status == 'queued' then return end
    if message.status == 'in_flight' then act(id, message) end
  end
end

local function put_back(client, shown, kept)
  for_each_in_flight(client, function(id, message)
    if id == kept then return end
    if not is_ahead(message) then return move(id, message, 'queued', shown) end
    give_back(message)
    save(id, message)
  end)
end

local function take_as_published(client)
  for_each_in_flight(client, function(id, message)
    if not is_ahead(message) then return end
    note_publish(id, message, at_text)
    save(id, message)
  end)
end
