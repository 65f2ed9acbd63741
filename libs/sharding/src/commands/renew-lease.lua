#!lua flags=allow-oom
-- Extends a lease if the caller still holds it.
--
-- KEYS owner, log?
--   log: absent for a lane
-- ARGV fence, lease_ms
-- Reply: the fence that holds the lease now, '' if nobody holds it

--- @include "shard-log"

local owner = redis.call('GET', KEYS.owner)
if owner == ARGV.fence then
  redis.call('PEXPIRE', KEYS.owner, ARGV.lease_ms)
  if KEYS.log then log_raise(KEYS.log) end
end
return owner or ''
