-- Counts by name of each minute of the last hour, in a hash with a field `<minutes since the epoch> <name>` for each.
--
-- add_minute_counts(key, seconds, counts): adds counts by name to those of the minute with this time, and removes the fields that are
--   older than an hour.

local MINUTES_KEPT = 60

local function remove_old_minutes(key, minute)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if tonumber(string.match(field, '^%d+')) <= minute - MINUTES_KEPT then redis.call('HDEL', key, field) end
  end
end

local function add_minute_counts(key, seconds, counts)
  local minute, has_begun = math.floor(seconds / 60), false
  for name, count in pairs(counts) do
    if redis.call('HINCRBY', key, minute .. ' ' .. name, count) == count then has_begun = true end
  end
  if has_begun then remove_old_minutes(key, minute) end
end
