-- The gateways with requests that wait until a message is final: a message names them, with commas between their ids.
--
-- is_final(status): whether no transition leads to another status.
-- add_waiting(message, gateway): adds a gateway. Returns false if there are too many.
-- take_waiting(message): removes and returns what names the gateways; nil for none.
-- report_final(id, gateways): publishes the id of a message to their channels; `gateways` as `take_waiting` returns it.
--
-- KEYS message_prefix

--- @include "from-typescript"

local MAX_WAITING_GATEWAYS = 8

local function is_final(status) return not string.find(TRANSITIONS, '|' .. status .. ' ', 1, true) end

local function add_waiting(message, gateway)
  local waiting = message.waiting_gateways
  if not waiting then
    message.waiting_gateways = gateway
    return true
  end
  if string.find(',' .. waiting .. ',', ',' .. gateway .. ',', 1, true) then return true end
  local _, commas = string.gsub(waiting, ',', '')
  if commas + 1 >= MAX_WAITING_GATEWAYS then return false end
  message.waiting_gateways = waiting .. ',' .. gateway
  return true
end

local function take_waiting(message)
  local waiting = message.waiting_gateways
  message.waiting_gateways = nil
  return waiting
end

local function report_final(id, gateways)
  -- Their channels have the prefix of all keys, and no hash tag.
  local prefix = string.match(KEYS.message_prefix, '^(.*):{[^}]*}:')
  for gateway in string.gmatch(gateways, '[^,]+') do redis.call('PUBLISH', prefix .. ':final:' .. gateway, id) end
end
