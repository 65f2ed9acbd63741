#!lua flags=allow-oom
-- Says whether the queued messages of a client are held.
--
-- ARGV client
-- Reply: 0 or 1

--- @include "held"

return is_held(ARGV.client) and 1 or 0
