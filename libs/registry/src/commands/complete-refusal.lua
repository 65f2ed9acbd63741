#!lua flags=allow-oom
-- Removes a refusal that was answered, remembers the answered id, and reschedules the client's to-do or removes it.
--
-- KEYS owner, recent
-- ARGV fence, field, text, reached
--   reached: whether the answer was published to a subscriber (0/1)
-- Reply: 0, or -1 if the caller is not the owner

--- @include "refusals"

local IDS_REMEMBERED = 8
local CLIENTS_REMEMBERED = 10000
-- The records of answered clients expire if the shard sends no answer for this time.
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
