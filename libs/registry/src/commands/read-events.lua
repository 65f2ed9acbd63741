#!lua flags=allow-oom
-- Reads the events of a shard behind a position. The last entry of a stream may exceed the bytes, so that there is always one.
--
-- KEYS log, streams...
-- ARGV bytes, bounds...
--   bytes: of each stream
--   bounds: for each stream the id behind which to read, and the last one to read
-- Reply by name: now (the shard's time as an id), last (the newest id), since, hole, streams (for each the id of the last
--   entry that was trimmed, 1 if there is more, and the entries)

--- @include "from-typescript"
--- @include "sharding/shard-log"

-- Entries that are taken from Redis at a time: reading stops soon after the bytes are used up.
local STEP = 16

local function page(stream, after, last, room)
  local kept = {}
  while true do
    local entries = redis.call('XRANGE', stream, '(' .. after, last, 'COUNT', STEP)
    for _, entry in ipairs(entries) do
      if room <= 0 then return 1, kept end
      kept[#kept + 1] = entry
      after, room = entry[1], room - log_size(entry[2])
    end
    if #entries < STEP then return 0, kept end
  end
end

log_open(KEYS.log)
local known = redis.call('HMGET', KEYS.log, 'last', 'since', 'hole')
local streams = {}
for name in string.gmatch(EVENT_STREAM_NAMES, '[^|]+') do
  local i = #streams
  local trimmed, bound = redis.call('HGET', KEYS.log, 'trimmed:' .. name) or '0-0', ARGV.bounds + 2 * i
  local more, entries = page(KEYS[KEYS.streams + i], ARGV[bound], ARGV[bound + 1], tonumber(ARGV.bytes))
  streams[i + 1] = { trimmed, more, entries }
end
return {
  'now', log_id(log_ms, log_seq), 'last', known[1], 'since', known[2] or '0-0', 'hole', known[3] or '',
  'streams', streams,
}
