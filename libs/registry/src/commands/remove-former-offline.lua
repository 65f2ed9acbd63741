#!lua flags=allow-oom
-- Removes the sorted sets of offline connections of format 3, one for all reasons.
--
-- KEYS owner, shard
-- ARGV fence, accounts...
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local function remove(scope)
  for _, of_type in ipairs({ ':offline:host', ':offline:proxy' }) do redis.call('UNLINK', scope .. of_type) end
end
remove(KEYS.shard)
for i = ARGV.accounts, #ARGV do remove(KEYS.shard .. ':account:' .. ARGV[i]) end
return 0
