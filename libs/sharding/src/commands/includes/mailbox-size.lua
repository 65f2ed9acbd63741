-- is_heavy(length, bytes): whether the mailbox, which has `length` entries, takes `bytes` or more.
-- MEMORY USAGE looks at all nodes of the stream: a microsecond for a short mailbox, a few hundred for one of 16 MiB.
--
-- KEYS mailbox

local function is_heavy(length, bytes)
  return length > 0 and redis.call('MEMORY', 'USAGE', KEYS.mailbox, 'SAMPLES', 0) >= tonumber(bytes)
end
