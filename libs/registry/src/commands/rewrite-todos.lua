#!lua flags=allow-oom
-- Stores to-dos under the names of format 3 and keeps their due times.
--
-- KEYS owner, todo
-- ARGV fence, todos...
--   todos: old and new to-do in turn
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.todos, #ARGV, 2 do
  local due = redis.call('ZSCORE', KEYS.todo, ARGV[i])
  if due then
    redis.call('ZREM', KEYS.todo, ARGV[i])
    redis.call('ZADD', KEYS.todo, 'NX', due, ARGV[i + 1])
  end
end
return 0
