-- The log of a shard, see `shard-log.ts`.
--
-- with_log(act, finish): runs `act`, then `finish` if it is given, and writes the changed fields of the log's hash. It writes
--   them also if `act` fails, because the entries that `act` has appended remain. The script returns what `with_log` returns.
-- log_open(log, name): reads the log's hash. The first script after a restart of Redis records the restart here, before a
--   newer id hides it. `name`: a stream whose size will be needed. After it, `log_ms` is the time of the newest id.
-- log_raise(log): raises the sequence to the time of Redis, and returns the newest id. A script that raises several logs
--   calls `log_leave` after each.
-- log_append(log, stream, name, share, fields, count): appends an entry, and returns its id. If the stream then takes more
--   than twice its share, its oldest entries are removed. `count`: how many ids of the sequence the entry takes if not one;
--   its own is the last of them.
-- log_count(name): counts one more of `name` (letters and `_`) in the current minute. `minute-counts.ts` reads the counts of the last hour.
-- log_trim(log, stream, name, target, from_ms, most): removes the oldest entries, at most `most`, while the stream takes more
--   than `target` bytes or the entry is older than `from_ms`. Returns how many it has removed.

--- @include "minute-counts"

-- Estimated bytes of an entry, without the text of its fields.
local ENTRY_BYTES = 48
-- Bytes of a shard's log until its owner has set a limit.
local DEFAULT_LOG_BYTES = 16 * 1024 * 1024
-- If the newest id is older than this, Redis may have restarted: with the default lease time the owner raises the log
-- more than once a second.
local RESTART_CHECKED_AFTER_MS = 4000
-- The most entries that one append removes from a stream that is too large. It is more than one append adds.
local REMOVED_BY_APPEND = 8

local log_key, log_ms, log_seq, log_limit, log_seconds, log_micros
local log_bytes, log_changes, log_counts = {}, {}, {}

local function log_id(ms, seq) return string.format('%d-%d', ms, seq) end

local function log_parse(id)
  local ms, seq = string.match(id or '', '^(%d+)-(%d+)$')
  return tonumber(ms or 0), tonumber(seq or 0)
end

local function log_size(fields)
  local size = ENTRY_BYTES
  for i = 1, #fields do size = size + #fields[i] end
  return size
end

-- The clock of Redis, seconds and microseconds of the second; it is asked once in a script.
local function log_time()
  if not log_seconds then
    local time = redis.call('TIME')
    log_seconds, log_micros = tonumber(time[1]), tonumber(time[2])
  end
  return log_seconds, log_micros
end

local function log_open(log, name)
  if log_ms then return end
  local seconds, micros = log_time()
  local now = seconds * 1000 + math.floor(micros / 1000)
  local known = redis.call('HMGET', log, 'last', 'limit', 'bytes:' .. (name or ''))
  log_key, log_ms, log_seq = log, log_parse(known[1])
  log_limit = tonumber(known[2]) or DEFAULT_LOG_BYTES
  if name then log_bytes[name] = tonumber(known[3]) or 0 end
  local before = log_ms
  if now > log_ms then log_ms, log_seq = now, 0 end
  if not known[1] then
    redis.call('HSET', log, 'since', log_id(log_ms, log_seq), 'last', log_id(log_ms, log_seq))
  elseif log_ms - before > RESTART_CHECKED_AFTER_MS then
    local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
    if log_ms - before > uptime * 1000 then
      redis.call('HSET', log, 'hole', string.format('%.0f %.0f', before, log_ms), 'last', log_id(log_ms, log_seq))
    end
  end
end

local function log_raise(log)
  log_open(log)
  redis.call('HSET', log, 'last', log_id(log_ms, log_seq))
  return log_id(log_ms, log_seq)
end

local function log_leave()
  log_key, log_ms, log_seq, log_limit = nil, nil, nil, nil
end

local function log_size_of(log, name)
  log_bytes[name] = log_bytes[name] or tonumber(redis.call('HGET', log, 'bytes:' .. name)) or 0
  return log_bytes[name]
end

local function log_trim(log, stream, name, target, from_ms, most)
  local bytes = log_size_of(log, name)
  local removed, last = 0, nil
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', most)) do
    if bytes <= target and log_parse(entry[1]) >= from_ms then break end
    bytes, removed, last = bytes - log_size(entry[2]), removed + 1, entry[1]
  end
  if last then
    local ms, seq = log_parse(last)
    redis.call('XTRIM', stream, 'MINID', log_id(ms, seq + 1))
    if redis.call('XLEN', stream) == 0 then bytes = 0 end
    log_bytes[name] = math.max(0, bytes)
    log_changes['bytes:' .. name], log_changes['trimmed:' .. name] = log_bytes[name], last
  end
  return removed
end

local function log_append(log, stream, name, share, fields, count)
  log_open(log, name)
  log_seq = log_seq + (count or 1)
  local id = log_id(log_ms, log_seq)
  redis.call('XADD', stream, id, unpack(fields))
  local bytes = log_size_of(log, name) + log_size(fields)
  log_bytes[name], log_changes['last'], log_changes['bytes:' .. name] = bytes, id, string.format('%d', bytes)
  local most = 2 * log_limit / share
  if bytes > most then log_trim(log, stream, name, most, 0, REMOVED_BY_APPEND) end
  return id
end

local function log_count(name) log_counts[name] = (log_counts[name] or 0) + 1 end

local function log_close()
  local written = {}
  if next(log_counts) then add_minute_counts(log_key .. ':minutes', log_seconds, log_counts) end
  for field, value in pairs(log_changes) do written[#written + 1], written[#written + 2] = field, value end
  if #written > 0 then redis.call('HSET', log_key, unpack(written)) end
end

local function with_log(act, finish)
  local done, reply = pcall(act)
  if finish then finish() end
  log_close()
  if done then return reply end
  -- pcall keeps only the text of a command's error; the text begins with the error code.
  return { err = string.match(reply, '^%u+ ') and reply or 'ERR ' .. reply }
end
