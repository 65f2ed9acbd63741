#!lua flags=allow-oom
-- Releases a lease if the caller still holds it.
--
-- KEYS owner
-- ARGV fence
-- Reply: the fence that holds the lease now, '' if nobody holds it

local owner = redis.call('GET', KEYS.owner)
if owner == ARGV.fence then
  redis.call('DEL', KEYS.owner)
  return ''
end
return owner or ''
