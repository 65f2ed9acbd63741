#!lua flags=allow-oom
-- Extends the leases that the caller still holds. The keys of several shards must be on one Redis.
--
-- KEYS leases...
--   leases: for each lease its owner key, and for a shard also its log
-- ARGV lease_ms, leases...
--   leases: for each lease its fence and the number of its keys
-- Reply: for each lease the fence that holds it now, '' if nobody holds it, or the error of its keys

--- @include "shard-log"

local function renew(fence, owner, log)
  local holder = redis.call('GET', owner)
  if holder == fence then
    redis.call('PEXPIRE', owner, ARGV.lease_ms)
    if log then log_raise(log) end
  end
  return holder or ''
end

local reply, key = {}, KEYS.leases
for i = ARGV.leases, #ARGV, 2 do
  local count = tonumber(ARGV[i + 1])
  local done, holder = pcall(renew, ARGV[i], unpack(KEYS, key, key + count - 1))
  log_leave()
  reply[#reply + 1] = done and holder or { err = 'ERR ' .. tostring(holder) }
  key = key + count
end
return reply
