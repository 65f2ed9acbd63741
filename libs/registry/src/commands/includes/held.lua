-- is_held(client): whether the queued messages of a client are held: it is offline, or the last attempt found no
--   subscribers. Unreadable records count as absent: the owner of the outbound side dead-letters them.
--
-- KEYS hosts, proxies, outbox_prefix

--- @include "message-record"

local function is_held(client)
  if not (redis.call('ZSCORE', KEYS.hosts, client) or redis.call('ZSCORE', KEYS.proxies, client)) then return true end
  local head = redis.pcall('LINDEX', KEYS.outbox_prefix .. client, 0)
  return type(head) == 'string' and load(head).no_subscribers or false
end
