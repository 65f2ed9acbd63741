#!lua flags=allow-oom
-- Moves unreadable to-dos to the dead letters.
--
-- KEYS owner, todo, dead_letters, log
-- ARGV fence, unreadable...
--   unreadable: to-do and dead letter in turn
-- Reply: the number of moved to-dos; -1 if the caller is not the owner

--- @include "from-typescript"
--- @include "now"

return with_log(function()
  if call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
  local moved = 0
  for i = ARGV.unreadable, #ARGV, 2 do
    if call('ZREM', KEYS.todo, ARGV[i]) == 1 then
      local fields = { 'at', at_text, 'letter', ARGV[i + 1] }
      log_append(KEYS.log, KEYS.dead_letters, 'dead-letters', DEAD_LETTERS_SHARE, fields)
      moved = moved + 1
    end
  end
  return moved
end)
