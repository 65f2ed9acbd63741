-- load_former(key): a message that 0.1.0 has stored, as `load` returns it. It was a hash, with times of the clock in each line
--   of its history. A message is written as a record when it changes. A finished one has the payer and the bytes with which
--   housekeeping counts it.

--- @include "from-typescript"

local function load_former(key)
  local h = redis.pcall('HMGET', key, 'status', 'attempts', 'unheard', 'created_at', 'expires_at', 'keep', 'cost', 'client_id',
    'account', 'idempotency', 'directive', 'request_id', 'payload', 'history')
  if h.err then return { err = 'it is neither a text nor a hash' } end
  local bytes, finished_bytes, payer = string.match(h[7] or '', '^(%d+),?(%d*) (.*)$')
  local created, expires = tonumber(h[4]), tonumber(h[5])
  local changes = {}
  for status, changed_at, details in string.gmatch(h[14] or '', '([%a_]+) (%d+)([^\n]*)') do
    changes[#changes + 1] = string.sub(status, 1, 1) .. string.format('%.0f', changed_at - (created or 0)) .. details
  end
  local message = {
    status = h[1] or nil, attempts = tonumber(h[2]) or 0, no_subscribers = h[3] == '1', created = created or 0,
    ttl = created and expires and math.max(0, expires - created) or 0, kept = tonumber(h[6]) or 0, bytes = tonumber(bytes) or 0,
    finished_bytes = tonumber(finished_bytes) or 0, payer = payer, client = h[8] or nil, replayed_for = h[8] or nil,
    account = h[9] or nil, idempotency = h[10] or nil, directive = h[11] or nil, request = h[12] or '', payload = h[13] or nil,
    history = table.concat(changes, '\t'), lacks_times = not (created and expires),
  }
  if h[1] and string.find(FINISHED_STATUSES, '|' .. h[1] .. '|', 1, true) and not payer then
    message.payer = message.account and 'account:' .. message.account or UNKNOWN_PAYER
    message.bytes = FINISHED_MESSAGE_BYTES + #(h[11] or '') + #(h[8] or '') + #message.history
  end
  return message
end
