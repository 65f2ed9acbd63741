#!lua flags=allow-oom
-- Records a member's heartbeat and announcement, and removes members whose heartbeat is overdue. Each change sets a new
-- version and publishes it. All keys expire after the last member has gone.
--
-- KEYS alive, members, version
-- ARGV member, announcement, ttl_ms, known_version, channel
-- Reply by name: version; overdue_ms, milliseconds until another member is overdue, or -1 if there is none; joined, whether the member
--   was none before (0/1); left, the members that this removed; members, if the version differs from known_version: member and
--   announcement of all members in turn

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS.alive, '-inf', now, 'BYSCORE')) do
  if id ~= ARGV.member then
    redis.call('ZREM', KEYS.alive, id)
    redis.call('HDEL', KEYS.members, id)
    left[#left + 1] = id
  end
end
local announced = redis.call('HGET', KEYS.members, ARGV.member)
if announced ~= ARGV.announcement then redis.call('HSET', KEYS.members, ARGV.member, ARGV.announcement) end
redis.call('ZADD', KEYS.alive, now + ARGV.ttl_ms, ARGV.member)
local version = redis.call('GET', KEYS.version)
if #left > 0 or announced ~= ARGV.announcement or not version then
  version = time[1] .. '.' .. string.format('%06d', time[2])
  redis.call('SET', KEYS.version, version)
  redis.call('PUBLISH', ARGV.channel, version)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV.ttl_ms * 10) end

local overdue_ms, members = -1, {}
local soonest = redis.call('ZRANGE', KEYS.alive, 0, 1, 'WITHSCORES')
for i = 1, #soonest, 2 do
  if soonest[i] ~= ARGV.member then
    overdue_ms = soonest[i + 1] - now
    break
  end
end
if version ~= ARGV.known_version then
  local all = redis.call('HGETALL', KEYS.members)
  for i = 1, #all, 2 do
    -- Without a heartbeat a member would never become overdue.
    if redis.call('ZSCORE', KEYS.alive, all[i]) then
      members[#members + 1] = all[i]
      members[#members + 1] = all[i + 1]
    else
      redis.call('HDEL', KEYS.members, all[i])
    end
  end
end
return {
  'version', version, 'overdue_ms', overdue_ms, 'joined', announced and 0 or 1, 'left', left, 'members', members,
}
