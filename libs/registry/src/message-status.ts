/** The statuses of an outbound message and how it moves between them; the scripts enforce this very table. */

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
 * Lua shared by the scripts that touch messages.
 * `now()`: epoch milliseconds of the Redis clock.
 * `move(key, to, at, details)`: moves a message along the table; false where the table does not allow it.
 * A history line is `<status> <at>[ <details>]`.
 */
export const MESSAGE_LUA = `
local TRANSITIONS = ${luaTable()}
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function move(key, to, at, details)
  local message = redis.call('HMGET', key, 'status', 'history')
  local from = message[1]
  if not from or not TRANSITIONS[from][to] then return false end
  local line = to .. ' ' .. string.format('%.0f', at)
  if details and details ~= '' then line = line .. ' ' .. string.gsub(details, '[%c]', ' ') end
  local history = message[2]
  if #history > ${HISTORY_BYTES} then
    local first = string.match(history, '^[^\\n]*')
    local rest = string.match(string.sub(history, -${HISTORY_BYTES / 2}), '\\n(.*)$') or ''
    history = first .. '\\n' .. rest
  end
  redis.call('HSET', key, 'status', to, 'history', history .. '\\n' .. line)
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
