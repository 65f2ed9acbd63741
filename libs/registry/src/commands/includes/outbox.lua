-- Outboxes. A key that is not a list would block the messages of its client, and other clients of the shard: it is removed
-- and becomes a dead letter.
--
-- outbox_length(client): the number of unfinished messages of a client.
-- remove_from_outbox(client, id): removes a message.
-- remove_outbox(client): removes an outbox that is not a list.
--
-- KEYS outbox_prefix

--- @include "held-connections"
--- @include "message-events"

-- Reason of dead letters about unreadable messages and outboxes.
local UNREADABLE_RECORD = 'unreadable-record'

local function remove_outbox(client)
  call('UNLINK', KEYS.outbox_prefix .. client)
  remove_held(client)
  dead_letter(client, UNREADABLE_RECORD, 'the outbox is not a list')
end

local function outbox_length(client)
  local length = redis.pcall('LLEN', KEYS.outbox_prefix .. client)
  if type(length) == 'number' then return length end
  remove_outbox(client)
  return 0
end

local function remove_from_outbox(client, id)
  if type(redis.pcall('LREM', KEYS.outbox_prefix .. client, 1, id)) ~= 'number' then return remove_outbox(client) end
  check_held(client)
end
