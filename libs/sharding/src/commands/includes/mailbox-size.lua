-- is_heavy(length, bytes): whether the mailbox takes `bytes` or more. `length`: the number of its entries.
-- MEMORY USAGE reads all nodes of the stream: that takes a microsecond for a short mailbox, and a few hundred for 16 MiB.
--
-- KEYS mailbox

local function is_heavy(length, bytes)
  return length > 0 and redis.call('MEMORY', 'USAGE', KEYS.mailbox, 'SAMPLES', 0) >= tonumber(bytes)
end
