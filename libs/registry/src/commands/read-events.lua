#!lua flags=allow-oom
-- Reads the events of a shard after a position. The last entry of a stream may exceed the limit of bytes, so that there is
-- always one.
--
-- KEYS log, streams...
-- ARGV bytes, bounds...
--   bytes: limit for each stream
--   bounds: for each stream the id after which to read, and the last id to read
-- Reply by name: now (the shard's time as an id), last (the newest id), since, hole, streams (for each the id of the last
--   trimmed entry, 1 if there are more entries, and the entries)

--- @include "from-typescript"
--- @include "sharding/shard-log"

-- Entries that are read at a time: reading stops soon after the limit of bytes.
local BATCH = 16

local function page(stream, after, last, room)
  local read = {}
  while true do
    local entries = redis.call('XRANGE', stream, '(' .. after, last, 'COUNT', BATCH)
    for _, entry in ipairs(entries) do
      if room <= 0 then return 1, read end
      read[#read + 1] = entry
      after, room = entry[1], room - log_size(entry[2])
    end
    if #entries < BATCH then return 0, read end
  end
end

log_open(KEYS.log)
local log = redis.call('HMGET', KEYS.log, 'last', 'since', 'hole')
local streams = {}
for name in string.gmatch(EVENT_STREAM_NAMES, '[^|]+') do
  local i = #streams
  local trimmed, bound = redis.call('HGET', KEYS.log, 'trimmed:' .. name) or '0-0', ARGV.bounds + 2 * i
  local more, entries = page(KEYS[KEYS.streams + i], ARGV[bound], ARGV[bound + 1], tonumber(ARGV.bytes))
  streams[i + 1] = { trimmed, more, entries }
end
return {
  'now', log_id(log_ms, log_seq), 'last', log[1], 'since', log[2] or '0-0', 'hole', log[3] or '',
  'streams', streams,
}
