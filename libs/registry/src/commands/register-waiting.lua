#!lua flags=allow-oom
-- Registers a gateway with a message: its channel gets the id of the message when that is final.
--
-- ARGV message_id, gateway, account
--   account: the account to which the caller is bound, '' for none
-- Reply: 'registered', also if the message is final already; 'unknown', or 'full' if too many gateways are registered

--- @include "message-record"
--- @include "waiting-gateways"

local id = ARGV.message_id
local message = load(id)
if not message.status or (ARGV.account ~= '' and message.account ~= ARGV.account) then return 'unknown' end
if is_final(message.status) then return 'registered' end
local before = message.waiting_gateways
if not add_waiting(message, ARGV.gateway) then return 'full' end
if message.waiting_gateways ~= before then save(id, message) end
return 'registered'
