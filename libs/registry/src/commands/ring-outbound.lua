#!lua flags=allow-oom
-- Rings the bell of the owner of a shard's outbound side: a connection has become ready. It may be ready under the names of 0.1.0,
-- which nobody reads any more.
--
-- KEYS outbound_owner, claims
-- Reply: 1, or 0 if nobody owns it, so that it must be activated

--- @include "former-names"

take_over_former_names()
if redis.call('EXISTS', KEYS.outbound_owner) == 0 then return 0 end
redis.call('XADD', KEYS.claims, 'MAXLEN', '~', 2000, '*', 'bell', '')
return 1
