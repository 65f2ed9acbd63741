-- An outbox that is no list would be in the way of each message of its client, and of others of the shard: it is removed, and
-- a dead letter says so.
--
-- outbox_length(client): how many messages of a client are unfinished.
-- remove_from_outbox(client, id): removes a message.
-- remove_outbox(client): removes an outbox that is no list.
--
-- KEYS outbox_prefix

--- @include "message-events"

-- Why a stored message, or an outbox, has become a dead letter.
local UNREADABLE_RECORD = 'unreadable-record'

local function remove_outbox(client)
  call('UNLINK', KEYS.outbox_prefix .. client)
  dead_letter(client, UNREADABLE_RECORD, 'the outbox is no list')
end

local function outbox_length(client)
  local length = redis.pcall('LLEN', KEYS.outbox_prefix .. client)
  if type(length) == 'number' then return length end
  remove_outbox(client)
  return 0
end

local function remove_from_outbox(client, id)
  if type(redis.pcall('LREM', KEYS.outbox_prefix .. client, 1, id)) ~= 'number' then remove_outbox(client) end
end
