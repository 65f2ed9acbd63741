#!lua flags=allow-oom
-- Appends entries of a caller that owns no lane, until the mailbox is full.
--
-- KEYS mailbox
-- ARGV limit, bytes, entries...
--   limit, bytes: the mailbox is full from this number of entries or bytes on
--   entries: the text of each
-- Reply: how many were appended

--- @include "mailbox-size"

local length, first = redis.call('XLEN', KEYS.mailbox), ARGV.entries
local count = #ARGV - first + 1
local room = is_heavy(length, ARGV.bytes) and 0 or math.min(count, math.max(0, ARGV.limit - length))
for i = first, first + room - 1 do redis.call('XADD', KEYS.mailbox, '*', 'entry', ARGV[i]) end
return room
