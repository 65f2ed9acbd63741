#!lua flags=allow-oom
-- Appends a lane's batch to a mailbox, whole or not at all, if the caller still owns the lane and has not appended the
-- batch before.
-- A lane's owner announces itself before it appends. If its mark is gone, Redis has lost it, and with it the right to append.
-- A redelivery has the name of the first delivery, `<id>.<digest>`, and is left out if it was appended before. Ids are used
-- again: only the last delivery with an id counts.
--
-- KEYS mailbox, lane_marks, deliveries
-- ARGV lane, fence, sequence, limit, remembered, count, bytes, batch...
--   limit, bytes: the most that the mailbox may hold
--   remembered: how many of the lane's deliveries are remembered
--   batch: `count` deliveries ('!' before a redelivery, '' for none), then `count` packed entries
-- Reply: 1 if appended, and 1 more for each redelivery that was left out; 0 if the batch was appended before;
--   -1 if the caller does not own the lane; -2 if the mailbox is full

--- @include "mailbox-size"

-- Deliveries of a lane are remembered for a day after its last append. They expire together: a redelivery after that is
-- applied again, all of it and in its order.
local DELIVERIES_KEPT_MS = 86400000

local mark = redis.call('HGET', KEYS.lane_marks, ARGV.lane)
if not mark then return -1 end
local fence, sequence = string.match(mark, '^(.*):(%d+)$')
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
      for _, one in ipairs(redis.call('LRANGE', KEYS.deliveries, 0, -1)) do
        local id, digest = string.match(one, '^(%d+)%.(.*)$')
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
redis.call('HSET', KEYS.lane_marks, ARGV.lane, ARGV.fence .. ':' .. ARGV.sequence)
return 1 + repeats
