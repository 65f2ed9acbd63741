-- The connections with held messages, so that they can be listed: a sorted set of all, and one of those of each account. A connection that
-- a reader finds there may have none any more: readers count. `connection-writes.ts` writes them when a client comes or goes.
--
-- add_held(client): the client has a held message.
-- remove_held(client): it has none any more.
-- check_held(client): after a message has left the outbox of the client.
--
-- KEYS held, accounts, account_prefix, outbox_prefix

--- @include "held"
--- @include "now"

local function held_of(client)
  local account = call('HGET', KEYS.accounts, client)
  return account and KEYS.account_prefix .. account .. ':held'
end

local function add_held(client)
  if call('ZADD', KEYS.held, 0, client) == 0 then return end
  local of_account = held_of(client)
  if of_account then call('ZADD', of_account, 0, client) end
end

local function remove_held(client)
  if call('ZREM', KEYS.held, client) == 0 then return end
  local of_account = held_of(client)
  if of_account then call('ZREM', of_account, client) end
end

local function check_held(client)
  if not call('ZSCORE', KEYS.held, client) then return end
  if call('EXISTS', KEYS.outbox_prefix .. client) == 0 or not is_held(client) then remove_held(client) end
end
