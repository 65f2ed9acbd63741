-- The fence of a commit: it counts only if the caller still owns the shard, and if the shard is at the position from which the
-- commit starts. See `fence.ts`.
--
-- fenced(act): runs `act` if the commit counts, moves the shard's position, and returns what `act` returns; otherwise why not:
--   'stale', 'repeated' or 'at:<position>'.
--
-- KEYS owner, position, mailbox
-- ARGV fence, from, to, trim
--   trim: entries with lower ids are removed from the mailbox; '' if the position stays

local function fenced(act)
  if redis.call('GET', KEYS.owner) ~= ARGV.fence then return 'stale' end
  local position, to = redis.call('GET', KEYS.position) or '0-0', ARGV.to
  if position == to and ARGV.from ~= to then return 'repeated' end
  if position ~= ARGV.from then return 'at:' .. position end
  local outcome = act()
  if ARGV.trim ~= '' then
    redis.call('SET', KEYS.position, to)
    redis.call('XTRIM', KEYS.mailbox, 'MINID', ARGV.trim)
  end
  return outcome
end
