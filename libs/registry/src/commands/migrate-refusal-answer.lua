#!lua flags=allow-oom
-- Replaces a to-do of 0.1.0 that answers a refused handshake with a waiting refusal and its to-do.
--
-- KEYS owner, todo, waiting
-- ARGV fence, old_todo, new_todo, field, text
-- Reply: 1 if the to-do was replaced, 0 if it does not exist, -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
local due = redis.call('ZSCORE', KEYS.todo, ARGV.old_todo)
if not due then return 0 end
redis.call('ZREM', KEYS.todo, ARGV.old_todo)
redis.call('ZADD', KEYS.todo, due, ARGV.new_todo)
redis.call('HSET', KEYS.waiting, ARGV.field, ARGV.text)
return 1
