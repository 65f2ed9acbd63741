#!lua flags=allow-oom
-- Reads what is claimed on a shard: what an earlier owner of its outbound side has left to the new one, and what the owner
-- does not know because a reply was lost. What a dispatcher of 0.1.0 has left is taken over too, and its run is fenced off.
--
-- KEYS outbound_owner, outbound_closing, claimed, claims
-- ARGV fence
-- Reply: nil if the caller is not the owner; otherwise Redis' time in ms, the id of the newest entry of the stream of claims,
--   and the connections with a claimed message

--- @include "former-names"
--- @include "now"

if redis.call('GET', KEYS.outbound_owner) ~= ARGV.fence then return false end
redis.call('DEL', KEYS.outbound_closing)
take_over_former_names()
local newest = redis.call('XREVRANGE', KEYS.claims, '+', '-', 'COUNT', 1)[1]
return { at, newest and newest[1] or '0-0', redis.call('SMEMBERS', KEYS.claimed) }
