#!lua flags=allow-oom
-- Appends a lane's batch to a mailbox, as a whole or not at all, if the caller still owns the lane and has not appended the
-- batch before.
-- A lane's owner announces itself before it appends. If the lane has no fence here, Redis has lost data: the append is
-- refused. A redelivery has the name of the first delivery, `<id>.<digest>`, and is left out if it was appended before.
-- The broker reuses ids: only the last delivery with an id counts.
--
-- KEYS mailbox, lane_fences, deliveries
-- ARGV lane, fence, sequence, limit, remembered, count, bytes, batch...
--   limit, bytes: the mailbox is full from this number of entries or bytes on
--   remembered: how many of the lane's deliveries are remembered
--   batch: `count` delivery names ('!' before a redelivery, '' for an item without a name), then `count` entries
-- Reply: 1 if appended, and 1 more for each redelivery that was left out; 0 if the batch was appended before;
--   -1 if the caller does not own the lane; -2 if the mailbox is full

--- @include "mailbox-size"

-- Deliveries of a lane are remembered for a day after its last append, and expire together. All redeliveries after that are
-- appended again, in their order.
local DELIVERIES_KEPT_MS = 86400000

local last = redis.call('HGET', KEYS.lane_fences, ARGV.lane)
if not last then return -1 end
local fence, sequence = string.match(last, '^(.*):(%d+)$')
if fence ~= ARGV.fence then return -1 end
if tonumber(ARGV.sequence) <= tonumber(sequence) then return 0 end
local count, before = tonumber(ARGV.count), ARGV.batch - 1
local length = redis.call('XLEN', KEYS.mailbox)
if length + count > tonumber(ARGV.limit) or is_heavy(length, ARGV.bytes) then return -2 end

local known, fresh, repeats = nil, {}, 0
for i = 1, count do
  local delivery, repeated = ARGV[before + i], false
  if string.sub(delivery, 1, 1) == '!' then
    delivery = string.sub(delivery, 2)
    if not known then
      known = {}
      for _, name in ipairs(redis.call('LRANGE', KEYS.deliveries, 0, -1)) do
        local id, digest = string.match(name, '^(%d+)%.(.*)$')
        known[id] = digest
      end
    end
    local id, digest = string.match(delivery, '^(%d+)%.(.*)$')
    repeated = known[id] == digest
  end
  if repeated then
    repeats = repeats + 1
  else
    redis.call('XADD', KEYS.mailbox, '*', 'entry', ARGV[before + count + i])
    if delivery ~= '' then fresh[#fresh + 1] = delivery end
  end
end

for i = 1, #fresh, 4000 do redis.call('RPUSH', KEYS.deliveries, unpack(fresh, i, math.min(i + 3999, #fresh))) end
if #fresh > 0 then
  redis.call('LTRIM', KEYS.deliveries, -tonumber(ARGV.remembered), -1)
  redis.call('PEXPIRE', KEYS.deliveries, DELIVERIES_KEPT_MS)
end
redis.call('HSET', KEYS.lane_fences, ARGV.lane, ARGV.fence .. ':' .. ARGV.sequence)
return 1 + repeats
