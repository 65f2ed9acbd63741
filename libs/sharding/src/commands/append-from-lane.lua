#!lua flags=allow-oom
-- Appends a lane's batch to a mailbox, as a whole or not at all, if the caller still owns the lane and has not appended the
-- batch before.
-- A lane's owner announces itself before it appends. If the lane has no fence here, Redis has lost data: the append is
-- refused. The caller has left out redeliveries that were appended before. It knows them by the names of the lane's deliveries,
-- `<id>.<digest>`: the append is refused if they are not as the caller has read them.
--
-- KEYS mailbox, lane_fences, deliveries
-- ARGV lane, fence, sequence, limit, remembered, count, bytes, compared, batch...
--   limit, bytes: the mailbox is full from this number of entries or bytes on
--   remembered: how many of the lane's deliveries are remembered
--   compared: the sequence of the last batch among the deliveries that the caller knows; '' if the batch has no redelivery
--   batch: `count` delivery names ('' for an item without a name), then `count` entries
-- Reply: 1 if appended; 0 if the batch was appended before; -1 if the caller does not own the lane; -2 if the mailbox is full;
--   -3 if the caller knows other deliveries

--- @include "mailbox-size"

-- Deliveries of a lane are remembered for a day after its last append, and expire together. All redeliveries after that are
-- appended again, in their order.
local DELIVERIES_KEPT_MS = 86400000

local last = redis.call('HGET', KEYS.lane_fences, ARGV.lane)
if not last then return -1 end
local fence, sequence = string.match(last, '^(.*):(%d+)$')
if fence ~= ARGV.fence then return -1 end
if tonumber(ARGV.sequence) <= tonumber(sequence) then return 0 end
if ARGV.compared ~= '' and ARGV.compared ~= sequence then return -3 end
local count, before = tonumber(ARGV.count), ARGV.batch - 1
local length = redis.call('XLEN', KEYS.mailbox)
if length + count > tonumber(ARGV.limit) or is_heavy(length, ARGV.bytes) then return -2 end

local names = {}
for i = 1, count do
  redis.call('XADD', KEYS.mailbox, '*', 'entry', ARGV[before + count + i])
  local delivery = ARGV[before + i]
  if delivery ~= '' then names[#names + 1] = delivery end
end

for i = 1, #names, 4000 do redis.call('RPUSH', KEYS.deliveries, unpack(names, i, math.min(i + 3999, #names))) end
if #names > 0 then
  redis.call('LTRIM', KEYS.deliveries, -tonumber(ARGV.remembered), -1)
  redis.call('PEXPIRE', KEYS.deliveries, DELIVERIES_KEPT_MS)
end
redis.call('HSET', KEYS.lane_fences, ARGV.lane, ARGV.fence .. ':' .. ARGV.sequence)
return 1
