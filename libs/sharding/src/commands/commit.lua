#!lua flags=allow-oom
-- The fenced commit: applies the writes of a batch of mailbox entries and advances the shard's position, if the caller still
-- owns the shard and the shard is at the position from which the commit starts.
--
-- KEYS owner, position, mailbox, log
-- ARGV fence, from, to, trim, writes...
--   trim: entries with lower ids are removed from the mailbox; '' if the position stays
--   writes: for a command its argument count, a guard (a key that must exist, or '') and its arguments; for an append to
--     the log its field count as a negative number, then stream, name, share and fields; for a command that is done for
--     each of some members 0, the prefix of the members' keys, its argument count, its arguments, how many members, members
-- Reply: 'stale', 'repeated', 'at:<position>', or a list with 0 or 1 for each write that has a guard, and for each member

--- @include "shard-log"

-- Does the command for each member whose key exists. One EXISTS asks for all of them: mostly none does.
local function for_members(prefix, command, members, guarded)
  local keys = {}
  for i = 1, #members do keys[i] = prefix .. members[i] end
  local any = #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
  for i = 1, #members do
    local done = any and redis.call('EXISTS', keys[i]) == 1
    if done then
      command[command.count + 1] = members[i]
      redis.call(unpack(command, 1, command.count + 1))
    end
    guarded[#guarded + 1] = done and 1 or 0
  end
end

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
    elseif count == 0 then
      local size = tonumber(ARGV[i + 2])
      local command = { unpack(ARGV, i + 3, i + 2 + size) }
      command.count = size
      local first = i + 4 + size
      local last = first + tonumber(ARGV[first - 1]) - 1
      for_members(guard, command, { unpack(ARGV, first, last) }, guarded)
      i = last + 1
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
