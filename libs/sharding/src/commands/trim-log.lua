#!lua flags=allow-oom
-- Stores how many bytes the streams of a shard's log may take, and removes entries that are too old or exceed the limit, the
-- oldest first.
--
-- KEYS log, streams...
-- ARGV limit, shard_count, retention_ms, most, part, streams...
--   limit: bytes of all streams together, 0 for the default
--   most: the most entries that are removed from one stream
--   part: the streams keep only `limit / part` bytes
--   streams: name and share in turn
-- Reply: how many entries were removed, then the age in milliseconds of each stream's oldest entry, '' if it is empty

--- @include "shard-log"

return with_log(function()
  local limit = tonumber(ARGV.limit)
  if limit == 0 then
    limit = DEFAULT_LOG_BYTES
    local most = tonumber(string.match(redis.call('INFO', 'memory'), 'maxmemory:(%d+)') or 0)
    if most > 0 then limit = math.min(limit, math.floor(most / 10 / ARGV.shard_count)) end
  end
  limit = math.floor(limit / ARGV.part)
  redis.call('HSET', KEYS.log, 'limit', limit)
  log_raise(KEYS.log)
  local removed, reply = 0, {}
  for i = 0, #KEYS - KEYS.streams do
    local stream, name, share = KEYS[KEYS.streams + i], ARGV[ARGV.streams + 2 * i], ARGV[ARGV.streams + 2 * i + 1]
    removed = removed + log_trim(KEYS.log, stream, name, limit / share, log_ms - ARGV.retention_ms, tonumber(ARGV.most))
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    reply[#reply + 1] = oldest and string.format('%.0f', math.max(0, log_ms - log_parse(oldest[1]))) or ''
  end
  return { removed, unpack(reply) }
end)
