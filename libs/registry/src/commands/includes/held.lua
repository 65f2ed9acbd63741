-- is_held(client): whether what waits for a client is held: it is offline, or the last try found no subscriber.
-- What is stored and cannot be read counts as nothing: the next outbound run makes it a dead letter.
--
-- KEYS hosts, proxies, outbox_prefix, message_prefix

local function is_held(client)
  if not (redis.call('ZSCORE', KEYS.hosts, client) or redis.call('ZSCORE', KEYS.proxies, client)) then return true end
  local head = redis.pcall('LINDEX', KEYS.outbox_prefix .. client, 0)
  return type(head) == 'string' and redis.pcall('HGET', KEYS.message_prefix .. head, 'unheard') == '1'
end
