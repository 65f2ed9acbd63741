#!lua flags=allow-oom
-- A refusal was dealt with: removes it, remembers what was answered, and puts the client's to-do off or removes it.
--
-- KEYS owner, recent
-- ARGV fence, field, text, reached
--   reached: whether the answer reached the client (0/1)
-- Reply: 0, or -1 if the caller is not the owner

--- @include "refusals"

local IDS_REMEMBERED = 8
local CLIENTS_REMEMBERED = 10000
-- What is remembered of a shard goes if it answers nobody for seven days.
local REMEMBERED_MS = 7 * 86400000

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local client, text = ARGV.client, ARGV.text
if redis.call('HGET', KEYS.waiting, ARGV.field) == text then redis.call('HDEL', KEYS.waiting, ARGV.field) end
local id = string.match(text, '^[^\n]*')
last = now
if id == '' then
  unreadable = now
elseif ARGV.reached == '1' then
  local kept = { id }
  for one in string.gmatch(ids, '%S+') do
    if #kept < IDS_REMEMBERED and one ~= id then kept[#kept + 1] = one end
  end
  ids = table.concat(kept, ' ')
end
redis.call('HSET', KEYS.answered, client, plain(last) .. ';' .. plain(unreadable) .. ';' .. ids)
redis.call('ZADD', KEYS.recent, plain(now), client)
local surplus = redis.call('ZCARD', KEYS.recent) - CLIENTS_REMEMBERED
if surplus > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS.recent, math.min(surplus, 100))
  for i = 1, #oldest, 2 do redis.call('HDEL', KEYS.answered, oldest[i]) end
end
redis.call('PEXPIRE', KEYS.answered, REMEMBERED_MS)
redis.call('PEXPIRE', KEYS.recent, REMEMBERED_MS)
next_refusal()
return 0
