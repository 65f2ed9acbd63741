#!lua flags=allow-oom
-- Adds the streams of 0.1.0 to the log of a shard. 0.1.0 kept 10,000 events and 1,000 dead letters of a shard, so one script
-- can read all of them. Safe to repeat.
--
-- KEYS log, streams...
-- ARGV names...
--   names: the names of the streams, in the order of `streams`
-- Reply: the newest id of the log before the call

--- @include "sharding/shard-log"

local id = log_raise(KEYS.log)
for i = 0, #KEYS - KEYS.streams do
  local stream, name, bytes = KEYS[KEYS.streams + i], ARGV[ARGV.names + i], 0
  local entries = redis.call('XRANGE', stream, '-', '+')
  for _, entry in ipairs(entries) do bytes = bytes + log_size(entry[2]) end
  redis.call('HSET', KEYS.log, 'bytes:' .. name, bytes)
  if #entries > 0 then
    local info = redis.call('XINFO', 'STREAM', stream)
    for j = 1, #info, 2 do
      if info[j] == 'entries-added' and info[j + 1] > #entries then
        local ms, seq = log_parse(entries[1][1])
        if seq > 0 then ms, seq = ms, seq - 1 else ms, seq = ms - 1, 0 end
        redis.call('HSET', KEYS.log, 'trimmed:' .. name, log_id(ms, seq))
      end
    end
    local ms, seq = log_parse(entries[#entries][1])
    if ms >= log_ms then log_ms, log_seq = ms, math.max(log_seq, seq) end
  end
end
redis.call('HSET', KEYS.log, 'last', log_id(log_ms, log_seq), 'since', '0-0')
return id
