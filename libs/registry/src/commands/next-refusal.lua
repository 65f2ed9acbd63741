#!lua flags=allow-oom
-- Returns the refused handshake of a client that may be answered now. If there is none yet, reschedules the client's to-do
-- or removes it.
--
-- KEYS owner
-- ARGV fence
-- Reply: field and text of the refusal; 0 if there is none yet, -1 if the caller is not the owner

--- @include "refusals"

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
return next_refusal()
