#!lua flags=allow-oom
-- The refused handshake of a client that may be answered now. If none may, the client's to-do is put off until one may, or
-- removed.
--
-- KEYS owner
-- ARGV fence
-- Reply: field and text of the refusal; 0 if none may be answered now, -1 if the caller is not the owner

--- @include "refusals"

if redis.call('GET', KEYS.owner) ~= ARGV.fence then return -1 end
return next_refusal()
