#!lua flags=allow-oom
-- Removes to-dos that are done. A to-do that was written again has another due time, and stays.
--
-- KEYS owner, todo
-- ARGV fence, done...
--   done: to-do and due time in turn
-- Reply: 0, or -1 if the caller is not the owner

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
for i = ARGV.done, #ARGV, 2 do
  local due = redis.call('ZSCORE', KEYS.todo, ARGV[i])
  if due and tonumber(due) == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS.todo, ARGV[i]) end
end
return 0
