#!lua flags=allow-oom
-- Leases requests of a rate limit to a gateway: those that wait for it, some that it may admit later in the same window, and
-- some of the next window. The counter has two numbers: what is leased of the current window and of the next one. It expires
-- with the last window of which something is leased, so a limit that nobody uses takes no memory.
--
-- KEYS counter
-- ARGV limit, window_ms, waiting, spare, ahead
-- Reply by name: leased, ahead, left (requests of this window that nobody has leased), left_ms (until the window ends)

local call = redis.call

--- Of what is left, a lease beyond what is needed now takes at most a quarter: other gateways need some, too.
local function share(left, wanted)
  return math.max(0, math.min(wanted, math.floor(left / 4)))
end

local limit, window_ms = tonumber(ARGV.limit), tonumber(ARGV.window_ms)
local used, ahead = 0, 0
local left_ms = call('PTTL', KEYS.counter)
if left_ms <= 0 then
  left_ms = window_ms
else
  local counts = call('GET', KEYS.counter)
  used, ahead = tonumber(string.match(counts, '^%d+')), tonumber(string.match(counts, '%d+$'))
  if ahead > 0 and left_ms > window_ms then
    left_ms = left_ms - window_ms
  elseif ahead > 0 then
    used, ahead = ahead, 0
  end
end

local leased = math.max(0, math.min(limit - used, tonumber(ARGV.waiting)))
leased = leased + share(limit - used - leased, tonumber(ARGV.spare))
local leased_ahead = share(limit - ahead, tonumber(ARGV.ahead))
if leased + leased_ahead > 0 then
  used, ahead = used + leased, ahead + leased_ahead
  local lives_ms = ahead > 0 and left_ms + window_ms or left_ms
  call('SET', KEYS.counter, string.format('%.0f %.0f', used, ahead), 'PX', lives_ms)
end
return { 'leased', leased, 'ahead', leased_ahead, 'left', math.max(0, limit - used), 'left_ms', left_ms }
