#!lua flags=allow-oom
-- Puts connections into the sorted sets of format 4.
--
-- KEYS owner, shard
-- ARGV fence, members...
--   members: for each connection and set what follows `shard` in the key of the set, and the client id
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.members, #ARGV, 2 do redis.call('ZADD', KEYS.shard .. ARGV[i], 0, ARGV[i + 1]) end
return 0
