#!lua flags=allow-oom
-- KEYS mailbox, position
-- Reply: the id of the last entry that was ever appended, applied or not

local last = redis.call('XREVRANGE', KEYS.mailbox, '+', '-', 'COUNT', 1)[1]
return last and last[1] or redis.call('GET', KEYS.position) or '0-0'
