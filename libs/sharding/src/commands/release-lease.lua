#!lua flags=allow-oom
-- Gives a lease back if the caller still holds it.
--
-- KEYS owner
-- ARGV fence
-- Reply: the fence that holds the lease now, '' if nobody does

local owner = redis.call('GET', KEYS.owner)
if owner == ARGV.fence then
  redis.call('DEL', KEYS.owner)
  return ''
end
return owner or ''
