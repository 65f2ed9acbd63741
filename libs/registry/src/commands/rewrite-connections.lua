#!lua flags=allow-oom
-- Stores connections and their facts in the layout of format 3.
--
-- KEYS owner, connections, facts_prefix
-- ARGV fence, connections...
--   connections: for each, its id, its text, the number of its members in the index of facts, and bucket and member in turn
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local i = ARGV.connections
while i <= #ARGV do
  redis.call('HSET', KEYS.connections, ARGV[i], ARGV[i + 1])
  local last = i + 2 + 2 * tonumber(ARGV[i + 2])
  for m = i + 3, last, 2 do redis.call('ZADD', KEYS.facts_prefix .. ARGV[m], 0, ARGV[m + 1]) end
  i = last + 1
end
return 0
