-- The acts of a commit that write. Each begins with its name, and has an outcome if something decides whether it is done:
--   write, count, command...: the command. `count`: how many words it has.
--   guarded, key, count, command...: the command if the key exists. Outcome: 1 or 0.
--   members, prefix, count, command..., number, members...: the command for each of the members whose own key exists; it begins
--     with the prefix. Outcome: 1 or 0 for each member.
--   append, stream, name, share, count, fields...: an entry for a stream of the log.
--
-- do_write(act, i, outcomes): does the act whose words begin at `i`, and returns the place of the next act.
--
-- KEYS log

--- @include "sharding/shard-log"

-- One EXISTS asks for all members: mostly none has a key.
local function write_members(prefix, command, count, members, outcomes)
  local keys = {}
  for i = 1, #members do keys[i] = prefix .. members[i] end
  local any = #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
  for i = 1, #members do
    local done = any and redis.call('EXISTS', keys[i]) == 1
    if done then
      command[count + 1] = members[i]
      redis.call(unpack(command, 1, count + 1))
    end
    outcomes[#outcomes + 1] = done and 1 or 0
  end
end

local function do_write(act, i, outcomes)
  if act == 'write' then
    local last = i + ARGV[i]
    redis.call(unpack(ARGV, i + 1, last))
    return last + 1
  elseif act == 'append' then
    local last = i + 3 + ARGV[i + 3]
    log_append(KEYS.log, ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), { unpack(ARGV, i + 4, last) })
    return last + 1
  elseif act == 'guarded' then
    local last = i + 1 + ARGV[i + 1]
    local done = redis.call('EXISTS', ARGV[i]) == 1
    if done then redis.call(unpack(ARGV, i + 2, last)) end
    outcomes[#outcomes + 1] = done and 1 or 0
    return last + 1
  elseif act == 'members' then
    local count = tonumber(ARGV[i + 1])
    local number = i + 2 + count
    local last = number + ARGV[number]
    write_members(ARGV[i], { unpack(ARGV, i + 2, number - 1) }, count, { unpack(ARGV, number + 1, last) }, outcomes)
    return last + 1
  end
  error('a commit has no act ' .. act)
end
