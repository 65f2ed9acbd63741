-- redis_ms(): the time of Redis' clock in milliseconds.

local function redis_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
