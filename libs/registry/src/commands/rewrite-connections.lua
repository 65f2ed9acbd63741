#!lua flags=allow-oom
-- Stores connections under the member names of format 3.
--
-- KEYS owner, connections
-- ARGV fence, connections...
--   connections: client and connection in turn
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.connections, #ARGV, 2 do redis.call('HSET', KEYS.connections, ARGV[i], ARGV[i + 1]) end
return 0
