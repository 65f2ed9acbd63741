#!lua flags=allow-oom
-- Does the work of a shard that is due: expires messages, gives up messages in flight that no dispatcher has completed,
-- gives up waiting for answers, forgets finished messages, and claims to-dos.
-- A claimed to-do is rescheduled to a time that ends on half a millisecond. Commits write whole milliseconds, so
-- complete-todos.lua can distinguish the claimed to-do from a newer write of the same one.
--
-- KEYS owner, todo, former_finished, connections, accounts_asked
-- ARGV fence, batch, again_ms, kept_count, kept_bytes, surplus_batch
--   kept_count, kept_bytes: limits for the finished messages of the shard
-- Reply by name: expired, outcome_unknown, unanswered, forgotten, forgotten_early, more (0/1), due, todos; or nil if the caller is not the owner

--- @include "claims-ahead"
--- @include "expire-message"
--- @include "outbox"
--- @include "forget-messages"
--- @include "former-finished"

-- A message in flight is given up so many ms after its time to live has ended: its dispatcher has died, and no other has taken over.
-- One that lives has given up its publish long before.
local ABANDONED_MS = 300000

return with_log(function()
  if call('GET', KEYS.owner) ~= ARGV.fence then return false end
  local batch = tonumber(ARGV.batch)
  local function due(set) return call('ZRANGE', set, '-inf', at_text, 'BYSCORE', 'LIMIT', 0, batch) end

  local expired, outcome_unknown = 0, 0
  local ids = due(KEYS.expiry)
  for _, id in ipairs(ids) do
    local message = load(id)
    local in_flight, ended = message.status == 'in_flight', nil
    if in_flight and at < message.created + message.ttl + ABANDONED_MS then
      call('ZADD', KEYS.expiry, string.format('%.0f', at + 1000), id)
    elseif in_flight or message.status == 'queued' then
      note_publish(id, message, at_text)
      ended = expire(id, message, in_flight)
      remove_from_outbox(message.client, id)
    else
      call('ZREM', KEYS.expiry, id)
    end
    if ended == 'expired' then expired = expired + 1 elseif ended then outcome_unknown = outcome_unknown + 1 end
  end

  -- Whether a client's answer to a message may wait for the account of the client: what waits is in its connection, and names the
  -- message.
  local function may_have_answer(client, id)
    if not client or call('SISMEMBER', KEYS.accounts_asked, client) == 0 then return false end
    return string.find(call('HGET', KEYS.connections, client) or '', id, 1, true) and true or false
  end

  local unanswered = 0
  local overdue = due(KEYS.awaiting)
  for _, id in ipairs(overdue) do
    local message = load(id)
    if message.status == 'sent' and may_have_answer(message.client, id) then
      call('ZADD', KEYS.awaiting, string.format('%.0f', at + 1000), id)
    elseif move(id, message, 'unanswered', 'unanswered') then
      unanswered = unanswered + 1
    else
      call('ZREM', KEYS.awaiting, id)
    end
  end

  write_costs()
  local former = list_former_finished(batch)
  local forgotten = forget_due(batch)
  local surplus_batch = tonumber(ARGV.surplus_batch)
  local early = forget_surplus(tonumber(ARGV.kept_count), tonumber(ARGV.kept_bytes), surplus_batch)

  local todos = due(KEYS.todo)
  local again = string.format('%.1f', at + tonumber(ARGV.again_ms) + 0.5)
  for _, todo in ipairs(todos) do call('ZADD', KEYS.todo, again, todo) end
  local more = #ids == batch or #overdue == batch or former == batch or forgotten == batch or #todos == batch or early == surplus_batch
  return {
    'expired', expired, 'outcome_unknown', outcome_unknown, 'unanswered', unanswered, 'forgotten', forgotten, 'forgotten_early', early,
    'more', more and 1 or 0, 'due', again, 'todos', todos,
  }
end, write_costs)
