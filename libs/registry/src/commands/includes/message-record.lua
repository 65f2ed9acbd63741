-- The record of a message: one text, so that a command reads or writes it as a whole. Its lines are
--   1 <status> <attempts> <no subscribers> <created at> <time to live> <kept> <bytes> <bytes when finished> <payload has a key>
--   payer, client id, account, Idempotency-Key, directive, request id, history, payload
-- `1` is the form of the record. Times are milliseconds; `kept` is the retention. Empty lines stand for what a message does not
-- have. A finished message has neither request id nor payload. Control characters and `%` are written as in URLs.
-- A message that expects an answer, has one or has progress is of form `2`: then there is one more line, and the last part is the
-- payload of the message, and as soon as there is an answer, that of the answer. The line is
--   <response timeout> <response deadline> <ids of waiting gateways> <progress> <id of the answer> <answer>
-- with tabs in place of the spaces. The deadline is an epoch time, and ids are separated by commas. Numbers are 0 for none.
-- Progress and answer are JSON, which the ingester writes and TypeScript reads.
-- A change of the history is `<first letter of the status><ms since the message was created>[ <details>]`; tabs separate them.
--
-- load(id): the message by names; empty if it is not stored, and with `err` if it cannot be read.
-- fault_of(message): why a stored message cannot be read; nil if it can.
-- save(id, message): writes the record.
-- store_new(id, message): writes the record of a new message, and returns it, and whether the payload has a key of its own. Returns
--   false if the message is stored already.
-- payload_of(id, message): the payload; nil if it is lost.
-- end_payload(id, message): removes the payload and what else only a publish needs, but not the payload of an answer.
-- keep_answer(id, message, answer_id, answer, payload): puts an answer in place of the payload of a loaded message; the caller writes
--   the record.
-- is_awaiting(status, message): whether a message with this status awaits its answer.
-- answer_bytes(id, message): the bytes of what form 2 adds to a record, the payload of the answer included.
--
-- KEYS message_prefix, payload_prefix

--- @include "from-typescript"
--- @include "former-message"

-- A larger payload has a key of its own, so that a change of the record does not write it again.
local PACKED_PAYLOAD_BYTES = 2048

local RECORD = '^([12]) ([%a_]+) (%d+) ([01]) (%d+) (%d+) (%d+) (%d+) (%d+) ([01])\n'
  .. '([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n()'

local ANSWER_LINE = '^(%d+)\t(%d+)\t([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\n]*)\n()'

-- The status of a record that outlives its message, so that the answer to the message's Idempotency-Key stays counted. It is
-- loaded without status and client id, and names the client in `replayed_for`.
local REPLAYED = 'replayed'

local function plain(number) return string.format('%d', number) end

local function encoded(text)
  if text == '' or not string.find(text, '[%c%%]') then return text end
  return (string.gsub(text, '[%c%%]', function(char) return string.format('%%%02X', string.byte(char)) end))
end

local function decoded(text)
  if not string.find(text, '%', 1, true) then return text end
  return (string.gsub(text, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end))
end

local function filled(text) return text ~= '' and decoded(text) or nil end

-- Reads the line of form 2. Returns the position of the payload; nil if the line cannot be read.
local function read_answer_line(message, text, from)
  local timeout, deadline, waiting, progress, answer_id, answer, payload = string.match(text, ANSWER_LINE, from)
  if not timeout then return nil end
  message.response_timeout = timeout ~= '0' and tonumber(timeout) or nil
  message.response_deadline = deadline ~= '0' and tonumber(deadline) or nil
  message.waiting_gateways, message.progress = filled(waiting), filled(progress)
  message.answer_id, message.answer = filled(answer_id), filled(answer)
  return payload
end

local function load(id)
  local key = KEYS.message_prefix .. id
  local text = redis.pcall('GET', key)
  if not text then return {} end
  if type(text) == 'table' then return load_former(key) end
  local form, status, attempts, no_subscribers, created, ttl, kept, bytes, finished_bytes, has_payload_key, payer, client, account,
    idempotency, directive, request, history, payload = string.match(text, RECORD)
  if not status then return { err = 'its text has another form' } end
  client = decoded(client)
  local message = {
    status = status, attempts = tonumber(attempts), no_subscribers = no_subscribers == '1', created = tonumber(created),
    ttl = tonumber(ttl), kept = tonumber(kept), bytes = tonumber(bytes), finished_bytes = tonumber(finished_bytes),
    has_payload_key = has_payload_key == '1', payer = filled(payer), client = client, replayed_for = client, account = filled(account),
    idempotency = filled(idempotency), directive = decoded(directive), request = decoded(request), history = history,
  }
  if form == '2' then payload = read_answer_line(message, text, payload) end
  if not payload then return { err = 'its text has another form' } end
  message.payload = string.sub(text, payload)
  if status == REPLAYED then message.status, message.client = nil, nil end
  return message
end

local function fault_of(m)
  if m.err then return m.err end
  if not (m.status or m.client) then return 'it is not stored' end
  if not (m.status and string.find(STORED_STATUSES, '|' .. m.status .. '|', 1, true)) then return 'its status is unknown' end
  if m.status ~= 'queued' and m.status ~= 'in_flight' then return nil end
  if not (m.directive and m.payload) then return 'its content is missing' end
  if m.lacks_times then return 'its times are missing' end
end

-- The line of form 2, '' if the message needs none.
local function answer_line(m)
  if not (m.response_timeout or m.waiting_gateways or m.progress or m.answer) then return '' end
  local line = { string.format('%d\t%d', m.response_timeout or 0, m.response_deadline or 0), encoded(m.waiting_gateways or '') }
  line[3], line[4], line[5] = encoded(m.progress or ''), encoded(m.answer_id or ''), encoded(m.answer or '')
  return table.concat(line, '\t') .. '\n'
end

local function packed(m)
  local line = answer_line(m)
  return (line == '' and '1 ' or '2 ') .. m.status ..
    string.format(' %d %d %d %d %d %d %d %d\n', m.attempts, m.no_subscribers and 1 or 0, m.created, m.ttl, m.kept,
      m.bytes, m.finished_bytes, m.has_payload_key and 1 or 0) .. encoded(m.payer or '') .. '\n' .. encoded(m.client or '') .. '\n' ..
    encoded(m.account or '') .. '\n' .. encoded(m.idempotency or '') .. '\n' .. encoded(m.directive or '') .. '\n' ..
    encoded(m.request or '') .. '\n' .. m.history .. '\n' .. line .. (m.payload or '')
end

local function save(id, m) redis.call('SET', KEYS.message_prefix .. id, packed(m)) end

local function store_new(id, m)
  local payload = m.payload
  if #payload > PACKED_PAYLOAD_BYTES then m.has_payload_key, m.payload = true, '' end
  local record = packed(m)
  if not redis.call('SET', KEYS.message_prefix .. id, record, 'NX') then return false end
  if m.has_payload_key then redis.call('SET', KEYS.payload_prefix .. id, payload) end
  return record, m.has_payload_key
end

local function payload_of(id, m)
  if not m.has_payload_key then return m.payload end
  local payload = redis.pcall('GET', KEYS.payload_prefix .. id)
  return type(payload) == 'string' and payload or nil
end

local function end_payload(id, m)
  m.request, m.no_subscribers = '', false
  if m.answer then return end
  if m.has_payload_key then redis.call('UNLINK', KEYS.payload_prefix .. id) end
  m.has_payload_key, m.payload = false, ''
end

local function keep_answer(id, m, answer_id, answer, payload)
  end_payload(id, m)
  m.answer_id, m.answer, m.payload = answer_id, answer, payload
  if #payload > PACKED_PAYLOAD_BYTES then
    redis.call('SET', KEYS.payload_prefix .. id, payload)
    m.has_payload_key, m.payload = true, ''
  end
end

local function is_awaiting(status, m) return status == 'sent' and m.response_timeout and true or false end

local function answer_bytes(id, m)
  local bytes = #answer_line(m)
  if not m.answer then return bytes end
  return bytes + (m.has_payload_key and redis.call('STRLEN', KEYS.payload_prefix .. id) or #m.payload)
end
