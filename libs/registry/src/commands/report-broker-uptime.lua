#!lua flags=allow-oom
-- Records the broker's uptime and detects a restart. See `broker-runs.ts`.
--
-- KEYS broker
-- ARGV uptime_seconds, age_ms, sent_at, fresh_ms, same_run, ended_run, new_run, tolerance_ms, disorder_seconds
--   age_ms: time since the uptime was received
--   sent_at: Redis' clock when the report was sent; a report older than `fresh_ms` is dropped
--   same_run: id of the run that the caller has watched, or ''
--   ended_run: id of a run whose end the caller has seen, or ''
--   new_run: the id to use for a new run
-- Reply: the id of the run ('' if the report was dropped), and the start of the run if a restart is open ('' if not)

--- @include "sharding/redis-time"

local now = redis_ms()
if math.abs(now - tonumber(ARGV.sent_at)) > tonumber(ARGV.fresh_ms) then return { '', '' } end
local uptime, same, ended = tonumber(ARGV.uptime_seconds), ARGV.same_run, ARGV.ended_run
local since = now - uptime * 1000 - tonumber(ARGV.age_ms)
local stored = redis.call('HMGET', KEYS.broker, 'uptime', 'since', 'run', 'before', 'restart')
-- A record of 0.1.0 has no run.
local known = { uptime = tonumber(stored[1]), since = tonumber(stored[2]), run = stored[3], before = stored[4] }
local restart = stored[5]
local restarted = false
if not known.uptime or not known.since then
  known.run = false
elseif same ~= '' and known.run and same ~= known.run then
  -- Another process has reported a restart, or Redis was emptied: the caller has to start without a known run.
  return { '', '' }
elseif same == '' or not known.run then
  if ended ~= '' and ended == known.run then
    restarted = true
  elseif ended == '' or ended ~= known.before then
    restarted = since - known.since > tonumber(ARGV.tolerance_ms)
      or uptime + tonumber(ARGV.disorder_seconds) < known.uptime
  end
end
if restarted then
  redis.call('HSET', KEYS.broker, 'before', known.run or '', 'restart', uptime)
  restart = false
end
if restarted or not known.run then known.run = ARGV.new_run end
redis.call('HSET', KEYS.broker, 'run', known.run, 'uptime', ARGV.uptime_seconds, 'since', string.format('%.0f', since))
-- Later reports repeat a restart that is still open; reports of the same uptime do not.
local is_open = restarted or (restart and uptime > tonumber(restart))
return { known.run, is_open and string.format('%.0f', since) or '' }
