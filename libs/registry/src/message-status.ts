/** The statuses of an outbound message and how it moves between them; the scripts enforce this very table. */
import { EVENTS_KEPT } from './event.js';

export const STORED_STATUSES = ['queued', 'in_flight', 'sent', 'failed', 'expired', 'cancelled'] as const;
/** As stored. `held` is not: it is derived when read. */
export type StoredStatus = (typeof STORED_STATUSES)[number];

export const MESSAGE_STATUSES = ['queued', 'held', 'in_flight', 'sent', 'failed', 'expired', 'cancelled'] as const;
/** As callers see it: `held` is a `queued` message whose client is offline or does not listen. */
export type MessageStatus = (typeof MESSAGE_STATUSES)[number];

export const TRANSITIONS: Readonly<Record<StoredStatus, readonly StoredStatus[]>> = {
  queued: ['in_flight', 'expired', 'cancelled'],
  in_flight: ['sent', 'queued', 'failed'],
  // By `message-error`, which wins over a later settle.
  sent: ['failed'],
  failed: [],
  expired: [],
  cancelled: [],
};

function luaTable(): string {
  const rows = STORED_STATUSES.map((from) => `${from}={${TRANSITIONS[from].map((to) => `${to}=true`).join(',')}}`);
  return `{${rows.join(',')}}`;
}

function luaSet(statuses: readonly StoredStatus[]): string {
  return `{${statuses.map((status) => `${status}=true`).join(',')}}`;
}

function isUnfinished(status: StoredStatus): boolean {
  return status === 'queued' || status === 'in_flight';
}

/** Characters kept of a status' details: 3,000 bytes at most. */
const MAX_DETAILS = 1000;
/**
 * Bytes of history past which its older half goes, its first line excepted: retries of a client that never listens
 * must not pile up. The half holds at least one whole line.
 */
const HISTORY_BYTES = 8192;

/** Details as they are stored. */
export function brief(details: string): string {
  return details.slice(0, MAX_DETAILS).toWellFormed();
}

/**
 * Lua shared by the scripts on messages. KEYS begin with `RegistryKeys.ofMessages`.
 * `at`, `at_text`: epoch milliseconds of the Redis clock.
 * `load(id, field …)`: the fields of a message that `move` needs, four of them, and then these.
 * `tell(client, id, status, details)`: appends the event of a change.
 * `move(id, message, to, shown, details, field, value …)`: moves a message along the table, sets further fields, tells
 *   of it as the status `shown`, and where it has come to its end, has it forgotten after its retention; false where
 *   the table does not allow it.
 * A history line is `<status> <at>[ <details>]`.
 */
export const MESSAGE_LUA = `
local HOSTS, PROXIES, CONNECTIONS, EXPIRY, FINISHED, TODO, EVENTS, MESSAGE, OUTBOX, MESSAGES, IDEMPOTENCY =
  unpack(KEYS, 1, 11)
local TRANSITIONS = ${luaTable()}
local ENDS = ${luaSet(STORED_STATUSES.filter((status) => !TRANSITIONS[status].some(isUnfinished)))}
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local at_text = string.format('%.0f', at)

local function tell(client, id, status, details)
  local event = '{"type":"message.status","client_id":' .. cjson.encode(client) .. ',"message_id":"' .. id ..
    '","status":"' .. status .. '"'
  if details and details ~= '' then event = event .. ',"details":' .. cjson.encode(details) end
  redis.call('XADD', EVENTS, 'MAXLEN', '~', ${EVENTS_KEPT}, '*', 'at', at_text, 'event', event .. '}')
end

local function load(id, ...)
  return redis.call('HMGET', MESSAGE .. id, 'status', 'history', 'client_id', 'keep', ...)
end

local function move(id, message, to, shown, details, ...)
  local from, history = message[1], message[2]
  if not from or not TRANSITIONS[from][to] then return false end
  local line = to .. ' ' .. at_text
  if details and details ~= '' then line = line .. ' ' .. string.gsub(details, '[%c]', ' ') end
  if #history > ${HISTORY_BYTES} then
    local first = string.match(history, '^[^\\n]*')
    local rest = string.match(string.sub(history, -${HISTORY_BYTES / 2}), '\\n(.*)$') or ''
    history = first .. '\\n' .. rest
  end
  message[1] = to
  if ENDS[to] then
    redis.call('HSET', MESSAGE .. id, 'status', to, 'history', history .. '\\n' .. line, 'payload', '', ...)
    redis.call('ZREM', EXPIRY, id)
    redis.call('ZADD', FINISHED, string.format('%.0f', at + (message[4] or 0)), id)
  else
    redis.call('HSET', MESSAGE .. id, 'status', to, 'history', history .. '\\n' .. line, ...)
  end
  tell(message[3], id, shown, details)
  return true
end
`;

export interface StatusChange {
  status: StoredStatus;
  /** Epoch milliseconds. */
  at: number;
  details?: string;
}

/** Reads the stored history, oldest first. */
export function parseHistory(history: string): StatusChange[] {
  return history.split('\n').map((line) => {
    const [status = '', at = '', ...details] = line.split(' ');
    return {
      status: status as StoredStatus,
      at: Number(at),
      ...(details.length > 0 && { details: details.join(' ') }),
    };
  });
}
