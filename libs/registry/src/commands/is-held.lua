#!lua flags=allow-oom
-- ARGV client
-- Reply: whether what waits for the client is held (0/1)

--- @include "held"

return is_held(ARGV.client) and 1 or 0
