#!lua flags=allow-oom
-- Appends an event that belongs to no connection.
--
-- KEYS log, events
-- ARGV event
-- Reply: the id of the entry

--- @include "from-typescript"
--- @include "sharding/shard-log"

return with_log(function()
  log_open(KEYS.log)
  local fields = { 'at', string.format('%.0f', log_ms), 'event', ARGV.event }
  return log_append(KEYS.log, KEYS.events, 'state', STATE_SHARE, fields)
end)
