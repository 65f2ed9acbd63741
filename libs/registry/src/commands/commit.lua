#!lua flags=allow-oom
-- The fenced commit of a batch that only writes; `commit-reports.lua` is the one of a batch that also has answers of clients.
--
-- KEYS owner, position, mailbox, log
-- ARGV fence, from, to, trim, acts...
-- Reply: 'stale', 'repeated', 'at:<position>', or the outcomes of the acts that have one

--- @include "sharding/fence"
--- @include "write-acts"

return with_log(function()
  return fenced(function()
    local outcomes, i = {}, ARGV.acts
    while i <= #ARGV do i = do_write(ARGV[i], i + 1, outcomes) end
    return outcomes
  end)
end)
