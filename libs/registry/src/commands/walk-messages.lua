#!lua flags=allow-oom
-- Lists ids of stored messages of a shard: unfinished ones by the end of their time to live, then those that await an answer by their
-- deadline, then finished ones, list by list, the newest of each first. A message that changes during a walk may come twice.
--
-- KEYS expiry, awaiting, finished_due, finished_of_prefix
-- ARGV sets, count, set, score, name, id, place
--   sets: which of `unfinished`, `awaiting`, `finished` to walk, between bars
--   count: how many ids and lists to look at
--   set, score, name, id, place: the position from which to go on; '' for the beginning. It is after the message `id`, which has the
--     score in the set. Of finished messages `name` and `score` are those of the list, and `place` is how far from its end the message
--     was; without `id` the list has been walked.
-- Reply by name: looked, the number of ids and lists; found, for each message its id, set, score, name and place; next, if the walk is
--   not over: the set, and of lists the score and the name of the last one; to be used if nothing was found

--- @include "finished-lists"

local SETS = { 'unfinished', 'awaiting', 'finished' }
-- Messages behind the former place that are searched for one that is farther from the end now.
local SEARCHED = 1000

local left, looked, found = tonumber(ARGV.count), 0, {}

local function add(id, set, score, name, place)
  found[#found + 1] = { id, set, score, name, place }
  left, looked = left - 1, looked + 1
end

-- Members of a sorted set after one with a score, with their scores. If it has gone, those with the same score come again.
local function members_after(key, score, member)
  local from = 0
  if score ~= '' then
    local is_same = call('ZSCORE', key, member) == score
    from = is_same and call('ZRANK', key, member) + 1 or call('ZCOUNT', key, '-inf', '(' .. score)
  end
  return call('ZRANGE', key, from, from + left - 1, 'WITHSCORES')
end

local function walk_set(set, key, score, id)
  local members = members_after(key, score, id)
  for i = 1, #members, 2 do add(members[i], set, members[i + 1], '', 0) end
end

-- How far from the end of a list a message is now; nil if it was forgotten, and with it all older ones.
local function place_now(key, id, place)
  if call('LINDEX', key, -place) == id then return place end
  local behind = call('LRANGE', key, -(place + SEARCHED), -place)
  for i = #behind, 1, -1 do
    if behind[i] == id then return place + #behind - i end
  end
  local index = call('LPOS', key, id, 'RANK', -1)
  return index and call('LLEN', key) - index
end

local function walk_list(name, score, id, place)
  local key = KEYS.finished_of_prefix .. name
  if id ~= '' then
    place = place_now(key, id, place)
    if not place then return end
  end
  local ids = call('LRANGE', key, -(place + left), -(place + 1))
  for i = #ids, 1, -1 do add(ids[i], 'finished', score, name, place + #ids - i + 1) end
end

-- Returns whether all lists were walked, and the last one that was, with its score.
local function walk_lists(score, name, id, place)
  if id ~= '' then walk_list(name, score, id, place) end
  local lists = left > 0 and members_after(KEYS.finished_due, score, name) or {}
  for i = 1, #lists, 2 do
    -- A list counts, too: it may be one of answers, or lost.
    if left < 2 then return false, score, name end
    left, looked = left - 1, looked + 1
    name, score = lists[i], lists[i + 1]
    if string.sub(name, 1, #ANSWERS) ~= ANSWERS then walk_list(name, score, '', 0) end
  end
  return left > 0, score, name
end

local next_position = {}
local begins = ARGV.set == ''
for _, set in ipairs(SETS) do
  local is_current = set == ARGV.set
  begins = begins or is_current
  if begins and string.find(ARGV.sets, '|' .. set .. '|', 1, true) then
    local function from_position(value) return is_current and value or '' end
    local is_over, score, name
    if set == 'finished' then
      local place = is_current and tonumber(ARGV.place) or 0
      is_over, score, name = walk_lists(from_position(ARGV.score), from_position(ARGV.name), from_position(ARGV.id), place)
    else
      walk_set(set, set == 'unfinished' and KEYS.expiry or KEYS.awaiting, from_position(ARGV.score), from_position(ARGV.id))
      is_over, score, name = left > 0, '', ''
    end
    if not is_over then
      next_position = { set, score, name }
      break
    end
  end
end
return { 'looked', looked, 'found', found, 'next', next_position }
