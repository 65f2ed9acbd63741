/** What the scripts on messages have in common: the table of transitions, histories and events. */
import { LOG_LUA, logScript } from '@app/sharding';
import { DEAD_LETTERS_SHARE, REFUSALS_SHARE, STATE_SHARE } from '../events/event-log.js';
import { STORED_STATUSES, TRANSITIONS, type StoredStatus } from '../message-status.js';

/**
 * Bytes of history past which its older half goes, its first line excepted: retries of a client that never listens
 * must not pile up. The half holds at least one whole line.
 */
const HISTORY_BYTES = 8192;

/** How many keys `RegistryKeys.ofMessages` gives. */
export const OF_MESSAGES = 23;

/** Why a stored message, or an outbox, has become a dead letter. */
export const UNREADABLE_RECORD = 'unreadable-record';

/** What a finished message takes in Redis beside its history, its directive and its client's id. */
export const FINISHED_MESSAGE_BYTES = 640;
/** Pays for messages that were accepted before payers were recorded and have no account. */
export const UNKNOWN_PAYER = 'unknown';

/** Words as one text, each between bars: a table would be built by every run of a script. */
function luaWords(words: readonly string[]): string {
  return `'|${words.join('|')}|'`;
}

function transitions(): string[] {
  return STORED_STATUSES.flatMap((from) => TRANSITIONS[from].map((to) => `${from} ${to}`));
}

function isUnfinished(status: StoredStatus): boolean {
  return status === 'queued' || status === 'in_flight';
}

/**
 * Lua shared by the scripts on messages; `messageScript` makes one of an act that changes something. KEYS begin with `RegistryKeys.ofMessages`.
 * `at`, `at_text`: epoch milliseconds of the Redis clock.
 * `micros`: the same clock in microseconds.
 * `load(id, field …)`: the fields of a message that `move` needs, five of them, and then these; `err` if it is no hash.
 *   `cost` is what it is charged with: `<bytes>,<bytes when finished> <payer>`, and `<bytes> <payer>` of a finished one.
 * `cost_of(message)`: bytes, bytes when finished without its history, payer; payer is nil if it is not charged.
 * `weigh(payer, bytes)`: adds to what a payer's finished messages weigh, and all of the shard.
 * `uncharge(message)`: takes what an unfinished message weighs off its client, its payer and the shard.
 * `write_weights()`: writes what `move` has changed of both; a script does it at its end.
 * `append(event, account)`: appends an event, of an account's connection where one is given.
 * `append_refusal(event, account)`: the same, to the stream of refusals.
 * `tell(client, account, id, status, details)`: appends the event of a change.
 * `move(id, message, to, shown, details, field, value …)`: moves a message along the table, sets further fields, tells
 *   of it as the status `shown`, and where it has come to its end, has it forgotten after its retention; false where
 *   the table does not allow it.
 * `dead_letter(client, reason, details)`: keeps what could not be processed for inspection.
 * `outbox_length(client)`, `remove_from_outbox(client, id)`: whatever is stored there and is no list is removed, and a
 *   dead letter says so; it would be in the way of each message of the client, and of others of the shard.
 * A history line is `<status> <at>[ <details>]`.
 */
export const MESSAGE_LUA = `${LOG_LUA}
local HOSTS, PROXIES, CONNECTIONS, EXPIRY, FINISHED, TODO, EVENTS, MESSAGE, OUTBOX, MESSAGES, IDEMPOTENCY,
  ACCOUNTS, WOKEN, DRAINING, DRAIN_RUN, WAKING, ACCOUNTS_ASKED, DEAD_LETTERS, OUTBOX_BYTES, LOG, REFUSAL_EVENTS,
  FINISHED_BYTES, FINISHED_OF =
    unpack(KEYS, 1, ${OF_MESSAGES})
local call = redis.call
local TRANSITIONS = ${luaWords(transitions())}
local ENDS = ${luaWords(STORED_STATUSES.filter((status) => !TRANSITIONS[status].some(isUnfinished)))}
local function is_among(words, word) return string.find(words, '|' .. word .. '|', 1, true) and true or false end
local time = log_time()
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]
local at_text = string.format('%.0f', at)

local function event_fields(event, account)
  if account then return { 'at', at_text, 'event', event, 'account', account } end
  return { 'at', at_text, 'event', event }
end

local function append(event, account)
  log_append(LOG, EVENTS, 'state', ${STATE_SHARE}, event_fields(event, account))
end

local function append_refusal(event, account)
  log_append(LOG, REFUSAL_EVENTS, 'refusals', ${REFUSALS_SHARE}, event_fields(event, account))
end

local function tell(client, account, id, status, details)
  local event = '{"type":"message.status","client_id":' .. cjson.encode(client) .. ',"message_id":"' .. id ..
    '","status":"' .. status .. '"'
  if details and details ~= '' then event = event .. ',"details":' .. cjson.encode(details) end
  append(event .. '}', account)
end

local function load(id, ...)
  local m = redis.pcall('HMGET', MESSAGE .. id, 'status', 'history', 'client_id', 'keep', 'account', 'cost', ...)
  if not m.err then m.cost = table.remove(m, 6) end
  return m
end

local function cost_of(m)
  local bytes, kept, payer = string.match(m.cost or '', '^(%d+),?(%d*) (.*)$')
  return tonumber(bytes or 0), tonumber(kept) or ${FINISHED_MESSAGE_BYTES}, payer
end

local function weigh(payer, bytes)
  call('ZINCRBY', FINISHED_BYTES, bytes, '')
  call('ZINCRBY', FINISHED_BYTES, bytes, payer)
end

-- Bytes that 'move' has added to what payers have finished, and taken off by field of OUTBOX_BYTES.
local finished, freed = {}, {}

local function uncharge(m)
  local bytes, _, payer = cost_of(m)
  if not payer then return end
  for _, field in ipairs({ '', payer, 'client:' .. (m[3] or '') }) do freed[field] = (freed[field] or 0) + bytes end
end

local function write_weights()
  for payer, bytes in pairs(finished) do weigh(payer, bytes) end
  local fields, left, gone = {}, {}, {}
  for field in pairs(freed) do fields[#fields + 1] = field end
  local held = #fields > 0 and call('HMGET', OUTBOX_BYTES, unpack(fields)) or {}
  for i, field in ipairs(fields) do
    local rest = (tonumber(held[i]) or 0) - freed[field]
    if rest > 0 then left[#left + 1], left[#left + 2] = field, string.format('%.0f', rest)
    elseif held[i] then gone[#gone + 1] = field end
  end
  if #left > 0 then call('HSET', OUTBOX_BYTES, unpack(left)) end
  if #gone > 0 then call('HDEL', OUTBOX_BYTES, unpack(gone)) end
  finished, freed = {}, {}
end

local function move(id, message, to, shown, details, ...)
  local from, history = message[1], message[2] or ''
  if not from or not is_among(TRANSITIONS, from .. ' ' .. to) then return false end
  local line = to .. ' ' .. at_text
  if details and details ~= '' then line = line .. ' ' .. string.gsub(details, '[%c]', ' ') end
  if #history > ${HISTORY_BYTES} then
    local first = string.match(history, '^[^\\n]*')
    local rest = string.match(string.sub(history, -${HISTORY_BYTES / 2}), '\\n(.*)$') or ''
    history = first .. '\\n' .. rest
  end
  if history ~= '' then line = history .. '\\n' .. line end
  local grown = #line - #(message[2] or '')
  message[1], message[2] = to, line
  if is_among(ENDS, to) then
    local bytes, kept, payer = cost_of(message)
    if not is_among(ENDS, from) then
      uncharge(message)
      -- Readers need no more of it than what it was and what became of it.
      call('HDEL', MESSAGE .. id, 'payload', 'request_id', 'unheard')
      payer, bytes, grown = payer or '${UNKNOWN_PAYER}', 0, kept + #line
      call('RPUSH', FINISHED_OF .. payer, id)
    end
    if payer then
      finished[payer] = (finished[payer] or 0) + grown
      message.cost = string.format('%.0f', bytes + grown) .. ' ' .. payer
      call('HSET', MESSAGE .. id, 'cost', message.cost, 'status', to, 'history', line, ...)
    else
      call('HSET', MESSAGE .. id, 'status', to, 'history', line, ...)
    end
    call('ZREM', EXPIRY, id)
    call('ZADD', FINISHED, string.format('%.0f', at + (tonumber(message[4]) or 0)), id)
  else
    call('HSET', MESSAGE .. id, 'status', to, 'history', line, ...)
  end
  tell(message[3], message[5], id, shown, details)
  return true
end

local function dead_letter(client, reason, details)
  local letter = '{"client_id":' .. cjson.encode(client) .. ',"topic":"","reason":"' .. reason .. '","details":' ..
    cjson.encode(details) .. ',"sample":""}'
  log_append(LOG, DEAD_LETTERS, 'dead-letters', ${DEAD_LETTERS_SHARE}, { 'at', at_text, 'letter', letter })
end

local function remove_outbox(client)
  call('UNLINK', OUTBOX .. client)
  dead_letter(client, '${UNREADABLE_RECORD}', 'the outbox is no list')
end

local function outbox_length(client)
  local length = redis.pcall('LLEN', OUTBOX .. client)
  if type(length) == 'number' then return length end
  remove_outbox(client)
  return 0
end

local function remove_from_outbox(client, id)
  if type(redis.pcall('LREM', OUTBOX .. client, 1, id)) ~= 'number' then remove_outbox(client) end
end
`;

/** A script on messages. `more`: what it shares with others beside `MESSAGE_LUA`. */
export function messageScript(act: string, more = ''): string {
  return logScript(act, MESSAGE_LUA + more, 'write_weights() log_close()');
}
