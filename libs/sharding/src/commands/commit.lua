#!lua flags=allow-oom
-- The fenced commit: applies the writes of a batch of mailbox entries and advances the shard's position, if the caller still
-- owns the shard and the shard is at the position from which the commit starts.
--
-- KEYS owner, position, mailbox, log
-- ARGV fence, from, to, trim, writes...
--   trim: entries with lower ids are removed from the mailbox; '' if the position stays
--   writes: for a command its argument count, a guard (a key that must exist, or '') and its arguments; for an append to
--     the log its field count as a negative number, then stream, name, share and fields
-- Reply: 'stale', 'repeated', 'at:<position>', or a list with 0 or 1 for each write that has a guard

--- @include "shard-log"

return with_log(function()
  if redis.call('GET', KEYS.owner) ~= ARGV.fence then return 'stale' end
  local position, to = redis.call('GET', KEYS.position) or '0-0', ARGV.to
  if position == to and ARGV.from ~= to then return 'repeated' end
  if position ~= ARGV.from then return 'at:' .. position end
  local guarded = {}
  local i = ARGV.writes
  while i <= #ARGV do
    local count, guard = tonumber(ARGV[i]), ARGV[i + 1]
    if count < 0 then
      log_append(KEYS.log, guard, ARGV[i + 2], tonumber(ARGV[i + 3]), { unpack(ARGV, i + 4, i + 3 - count) })
      i = i + 4 - count
    else
      local done = guard == '' or redis.call('EXISTS', guard) == 1
      if done then redis.call(unpack(ARGV, i + 2, i + 1 + count)) end
      if guard ~= '' then guarded[#guarded + 1] = done and 1 or 0 end
      i = i + 2 + count
    end
  end
  if ARGV.trim ~= '' then
    redis.call('SET', KEYS.position, to)
    redis.call('XTRIM', KEYS.mailbox, 'MINID', ARGV.trim)
  end
  return guarded
end)
