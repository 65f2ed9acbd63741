/**
 * The log of a shard: streams for readers outside. All of them take their ids from one strictly rising sequence, the
 * time of Redis' clock that never falls below the last id, so that readers can merge them. Each is bounded in bytes.
 *
 * Hash `ShardingKeys.log`:
 * - `last`: the newest id of the sequence. Appends raise it, and so does each acquisition and renewal of the lease.
 * - `since`: the log is complete from here on. Later than a reader's position if Redis was emptied.
 * - `hole`: `<from> <until>`, milliseconds, of the last restart of Redis: the newest id that it still knew, and the time
 *   at which the first script ran since. A reader that had read beyond `from` before that has seen what Redis forgot.
 * - `limit`: bytes that all streams together may take, as the owner's settings say.
 * - `bytes:<name>`: bytes of a stream; `trimmed:<name>`: the id of the last entry that was removed from it.
 */
import type { ShardingKeys } from './sharding-keys.js';
import { RedisScript, type Redis } from '@app/platform';

/** A stream of the log, and its part of the shard's bytes: one in `share`. */
export interface LogStream {
  key: string;
  name: string;
  share: number;
}

/** Bytes of a shard's log until an owner has said otherwise. */
export const DEFAULT_LOG_BYTES = 16 * 1024 * 1024;

/** Bytes that an entry takes beside the text of its fields, roughly. */
const ENTRY_BYTES = 48;

/** A log that has no newer id than this may have been put back: with the default lease time its owner raises it every two seconds. */
const NOTED_AFTER_MS = 4000;

/** Entries that one append removes at most from a stream that is too large: more than it adds. */
const REMOVED_BY_APPEND = 8;

/**
 * Lua for scripts that append; `logScript` makes one of an act.
 * `log_open(log, name)`: whoever comes first notes a restart of Redis, before it can hide it by a newer id.
 * `log_raise(log)`: raises the sequence to the time of Redis.
 * `log_append(log, stream, name, share, fields)`: appends, and returns the id. A stream that takes twice its part
 *   loses its oldest entries.
 * `log_trim(log, stream, name, target, from_ms, most)`: removes the oldest entries, `most` of them at most, as long as
 *   the stream takes more bytes than `target` or they are older than `from_ms`. Returns how many it has removed.
 * `log_close()`: writes what has changed of the log's hash. Appends and trims of one script are written together.
 */
export const LOG_LUA = `
local log_key, log_ms, log_seq, log_limit, log_clock
local log_bytes, log_changes = {}, {}

local function log_id(ms, seq) return string.format('%.0f-%.0f', ms, seq) end

local function log_parse(id)
  local ms, seq = string.match(id or '', '^(%d+)-(%d+)$')
  return tonumber(ms or 0), tonumber(seq or 0)
end

local function log_size(fields)
  local size = ${ENTRY_BYTES}
  for i = 1, #fields do size = size + #fields[i] end
  return size
end

-- The time of Redis, as TIME gives it.
local function log_time()
  log_clock = log_clock or redis.call('TIME')
  return log_clock
end

-- 'name': a stream whose bytes will be needed.
local function log_open(log, name)
  if log_ms then return end
  local time = log_time()
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local known = redis.call('HMGET', log, 'last', 'limit', 'bytes:' .. (name or ''))
  log_key, log_ms, log_seq = log, log_parse(known[1])
  log_limit = tonumber(known[2]) or ${DEFAULT_LOG_BYTES}
  if name then log_bytes[name] = tonumber(known[3]) or 0 end
  local before = log_ms
  if now > log_ms then log_ms, log_seq = now, 0 end
  if not known[1] then
    redis.call('HSET', log, 'since', log_id(log_ms, log_seq), 'last', log_id(log_ms, log_seq))
  elseif log_ms - before > ${NOTED_AFTER_MS} then
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

local function log_append(log, stream, name, share, fields)
  log_open(log, name)
  log_seq = log_seq + 1
  local id = log_id(log_ms, log_seq)
  redis.call('XADD', stream, id, unpack(fields))
  log_bytes[name] = log_size_of(log, name) + log_size(fields)
  log_changes['last'], log_changes['bytes:' .. name] = id, log_bytes[name]
  local most = 2 * log_limit / share
  if log_bytes[name] > most then log_trim(log, stream, name, most, 0, ${REMOVED_BY_APPEND}) end
  return id
end

local function log_close()
  local written = {}
  for field, value in pairs(log_changes) do written[#written + 1], written[#written + 2] = field, value end
  if #written > 0 then redis.call('HSET', log_key, unpack(written)) end
end
`;

/**
 * A script that carries out `act` and closes the log behind it, also if `act` fails half-way: what it has appended is
 * there. `lua`: what stands before `act`, with `LOG_LUA`; `close`: what is done after it.
 */
export function logScript(act: string, lua = LOG_LUA, close = 'log_close()'): string {
  return `${lua}
local done, reply = pcall(function()
${act}
end)
${close}
if done then return reply end
-- Of an error that a command answered, only its text is left; it begins with its code.
return { err = string.match(reply, '^%u+ ') and reply or 'ERR ' .. reply }`;
}

/**
 * KEYS log, streams … · ARGV limit or 0 for the default, shard count, retention ms, most, one in so many of the limit that
 *   is kept, then name and share of each stream
 * → removed, then how many ms ago each stream's oldest entry was appended, '' if it is empty
 */
const trimScript = new RedisScript<[number, ...string[]]>(
  'ccTrimLog',
  logScript(`
   local limit = tonumber(ARGV[1])
   if limit == 0 then
     limit = ${DEFAULT_LOG_BYTES}
     local most = tonumber(string.match(redis.call('INFO', 'memory'), 'maxmemory:(%d+)') or 0)
     if most > 0 then limit = math.min(limit, math.floor(most / 10 / ARGV[2])) end
   end
   limit = math.floor(limit / ARGV[5])
   redis.call('HSET', KEYS[1], 'limit', limit)
   log_raise(KEYS[1])
   local removed, reply = 0, {}
   for i = 2, #KEYS do
     local name, share = ARGV[2 * i + 2], ARGV[2 * i + 3]
     removed = removed + log_trim(KEYS[1], KEYS[i], name, limit / share, log_ms - ARGV[3], tonumber(ARGV[4]))
     local oldest = redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', 1)[1]
     reply[#reply + 1] = oldest and string.format('%.0f', math.max(0, log_ms - log_parse(oldest[1]))) or ''
   end
   return { removed, unpack(reply) }`),
);

export interface LogLimits {
  /** Bytes of a shard's streams together; undefined for 16 MiB, or a tenth of `maxmemory` by shards if that is less. */
  bytes?: number | undefined;
  /** One in so many of these bytes is kept; all of them unless set. */
  part?: number;
  shardCount: number;
  retentionMs: number;
}

export interface LogTrimmed {
  /** Entries removed; as many as were allowed if there may be more. */
  removed: number;
  /** How long ago the oldest entry of each stream was appended, in milliseconds; undefined for an empty one. */
  heldMs: (number | undefined)[];
}

/** Removes at most `most` entries of each stream of a shard that are too old or too many, and notes the limit. */
export async function trimLog(
  redis: Redis,
  keys: ShardingKeys,
  shard: number,
  streams: readonly LogStream[],
  { bytes = 0, part = 1, shardCount, retentionMs }: LogLimits,
  most: number,
): Promise<LogTrimmed> {
  const args = [bytes, shardCount, retentionMs, most, part, ...streams.flatMap(({ name, share }) => [name, share])];
  const scriptKeys = [keys.log(shard), ...streams.map(({ key }) => key)];
  const [removed, ...held] = await trimScript.run(redis, scriptKeys, args);
  return { removed, heldMs: held.map((ms) => (ms === '' ? undefined : Number(ms))) };
}
