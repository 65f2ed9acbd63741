#!lua flags=allow-oom
-- Acquires the lease of a shard or a lane, unless another process holds it.
-- An epoch is never lower than the server's clock in milliseconds. So epochs rise even if Redis has lost the counter, and a
-- new owner is not fenced out by lane fences that other slots still hold. A process that acquires a lease that it holds
-- already gets a new epoch: either the reply to its first attempt was lost, or it has stopped acting since.
--
-- KEYS owner, epoch, log?
--   log: absent for a lane
-- ARGV boot_id, lease_ms
-- Reply: the fence that holds the lease now, and the milliseconds that are left of it

--- @include "redis-time"
--- @include "shard-log"

local owner = redis.call('GET', KEYS.owner)
if owner and string.match(owner, ':(.*)$') ~= ARGV.boot_id then return { owner, redis.call('PTTL', KEYS.owner) } end
local epoch = string.format('%.0f', math.max(redis_ms(), tonumber(redis.call('GET', KEYS.epoch) or '0') + 1))
redis.call('SET', KEYS.epoch, epoch)
local fence = epoch .. ':' .. ARGV.boot_id
redis.call('SET', KEYS.owner, fence, 'PX', ARGV.lease_ms)
if KEYS.log then log_raise(KEYS.log) end
return { fence, tonumber(ARGV.lease_ms) }
