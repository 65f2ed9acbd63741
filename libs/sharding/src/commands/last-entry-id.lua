#!lua flags=allow-oom
-- Finds the newest entry that was ever appended to a mailbox, applied or not.
--
-- KEYS mailbox, position
-- Reply: its id

local last = redis.call('XREVRANGE', KEYS.mailbox, '+', '-', 'COUNT', 1)[1]
return last and last[1] or redis.call('GET', KEYS.position) or '0-0'
