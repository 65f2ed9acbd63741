-- list_former_finished(most): lists finished messages of 0.1.0, at most `most`: its processes put them into one sorted set, by the end
--   of their retention, and do so until they are replaced. Returns the number of members that were removed from it.
--
-- KEYS former_finished

--- @include "message-costs"
--- @include "message-record"
--- @include "finished-lists"

local function list_former_finished(most)
  local members = call('ZRANGE', KEYS.former_finished, 0, most - 1, 'WITHSCORES')
  local ids = {}
  for i = 1, #members, 2 do
    local id, m = members[i], load(members[i])
    ids[#ids + 1] = id
    if m.payer and m.status and string.find(FINISHED_STATUSES, '|' .. m.status .. '|', 1, true) then
      local due = tonumber(members[i + 1])
      local kept = redis.pcall('HSET', KEYS.message_prefix .. id, 'keep', plain(math.max(0, m.kept + due - due_of(m))))
      -- A message that has changed since is a text: its retention has begun again.
      if type(kept) == 'table' then due = due_of(m) end
      list_finished(m.payer, id, m, due)
      count_finished(m.payer, m.bytes, 1)
    end
  end
  if #ids > 0 then call('ZREM', KEYS.former_finished, unpack(ids)) end
  return #ids
end
