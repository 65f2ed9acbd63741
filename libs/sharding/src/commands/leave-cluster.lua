#!lua flags=allow-oom
-- Removes a member that stops. It deletes the version, so that the next heartbeat of any member sets a new one.
--
-- KEYS alive, members, version
-- ARGV member, channel
-- Reply: how many connections have received the publish

redis.call('ZREM', KEYS.alive, ARGV.member)
redis.call('HDEL', KEYS.members, ARGV.member)
redis.call('DEL', KEYS.version)
return redis.call('PUBLISH', ARGV.channel, '')
