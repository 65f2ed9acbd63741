#!lua flags=allow-oom
-- Records a member's heartbeat and announcement, and removes members whose heartbeat is overdue. Each change sets a new
-- version and publishes it. All keys expire after the last member has gone.
--
-- KEYS alive, members, version
-- ARGV member, announcement, ttl_ms, known_version, channel
-- Reply: the version; milliseconds until another member is overdue, or -1 if there is none; and if the version differs from
--   known_version, member and announcement of all members in turn

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = false
for _, id in ipairs(redis.call('ZRANGE', KEYS.alive, '-inf', now, 'BYSCORE')) do
  if id ~= ARGV.member then
    redis.call('ZREM', KEYS.alive, id)
    redis.call('HDEL', KEYS.members, id)
    changed = true
  end
end
if redis.call('HGET', KEYS.members, ARGV.member) ~= ARGV.announcement then
  redis.call('HSET', KEYS.members, ARGV.member, ARGV.announcement)
  changed = true
end
redis.call('ZADD', KEYS.alive, now + ARGV.ttl_ms, ARGV.member)
local version = redis.call('GET', KEYS.version)
if changed or not version then
  version = time[1] .. '.' .. string.format('%06d', time[2])
  redis.call('SET', KEYS.version, version)
  redis.call('PUBLISH', ARGV.channel, version)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV.ttl_ms * 10) end

local reply = { version, -1 }
local soonest = redis.call('ZRANGE', KEYS.alive, 0, 1, 'WITHSCORES')
for i = 1, #soonest, 2 do
  if soonest[i] ~= ARGV.member then
    reply[2] = soonest[i + 1] - now
    break
  end
end
if version ~= ARGV.known_version then
  local announced = redis.call('HGETALL', KEYS.members)
  for i = 1, #announced, 2 do
    -- Without a heartbeat a member would never become overdue.
    if redis.call('ZSCORE', KEYS.alive, announced[i]) then
      reply[#reply + 1] = announced[i]
      reply[#reply + 1] = announced[i + 1]
    else
      redis.call('HDEL', KEYS.members, announced[i])
    end
  end
end
return reply
