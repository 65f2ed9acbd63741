#!lua flags=allow-oom
-- Releases the lease of a shard's outbound side. Messages that are claimed go back to their outboxes. They can be
-- cancelled and expire until the next owner claims them.
--
-- KEYS outbound_owner, outbound_closing, hosts, proxies, ready, claimed, claims
-- ARGV fence, read_to, idle_ms
--   idle_ms: '' releases the lease in any case. Otherwise the script refuses if a message is claimed, or if a connection will
--     be ready within this time.
--   read_to: entries of the stream of claims up to this one have been read; '' for none
-- Reply: 'stale' if the caller is not the owner, 'busy' if the script refuses, 'idle' if it leaves no work that is due, or
--   'due' if it does

--- @include "claims-ahead"
--- @include "outbox"
--- @include "stream-id"

return with_log(function()
  if call('GET', KEYS.outbound_owner) ~= ARGV.fence then return 'stale' end
  if ARGV.read_to ~= '' then call('XTRIM', KEYS.claims, 'MINID', following(ARGV.read_to)) end
  if ARGV.idle_ms ~= '' then
    if call('EXISTS', KEYS.claimed) == 1 or call('XLEN', KEYS.claims) > 0 then return 'busy' end
    if call('ZCOUNT', KEYS.ready, '-inf', micros + ARGV.idle_ms * 1000) > 0 then return 'busy' end
  end
  local clients = call('SMEMBERS', KEYS.claimed)
  for _, client in ipairs(clients) do
    local id = redis.pcall('LINDEX', KEYS.outbox_prefix .. client, 0)
    local message = type(id) == 'string' and load(id) or {}
    if message.status == 'in_flight' then
      local online = call('ZSCORE', KEYS.hosts, client) or call('ZSCORE', KEYS.proxies, client)
      local shown = online and 'queued' or 'held'
      put_back(client, shown, id)
      -- The publish of the first one was interrupted: it may have been written.
      note_publish(id, message, at_text)
      move(id, message, 'queued', shown, OUTCOME_UNKNOWN)
    end
    call('ZADD', KEYS.ready, 'LT', micros, client)
  end
  call('DEL', KEYS.claimed, KEYS.claims, KEYS.outbound_closing, KEYS.outbound_owner)
  return call('ZCOUNT', KEYS.ready, '-inf', micros) > 0 and 'due' or 'idle'
end, write_costs)
