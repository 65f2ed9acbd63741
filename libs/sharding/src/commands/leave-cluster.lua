#!lua flags=allow-oom
-- Removes a member that stops. It deletes the version, so that the next heartbeat of any member sets a new one.
--
-- KEYS alive, members, version
-- ARGV member, channel
-- Reply: whether it was a member (0/1)

redis.call('ZREM', KEYS.alive, ARGV.member)
local was_member = redis.call('HDEL', KEYS.members, ARGV.member)
redis.call('DEL', KEYS.version)
redis.call('PUBLISH', ARGV.channel, '')
return was_member
