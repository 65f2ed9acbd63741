#!lua flags=allow-oom
-- Writes to-dos that forget connections whose client ids are reserved now.
--
-- KEYS owner, connections, todo
-- ARGV fence, reserved...
--   reserved: client and to-do in turn
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.reserved, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS.connections, ARGV[i]) == 1 then redis.call('ZADD', KEYS.todo, 1, ARGV[i + 1]) end
end
return 0
