#!lua flags=allow-oom
-- The fenced commit of a batch that has answers of clients. To have them in `commit.lua` would make every commit dearer, since
-- Redis builds a script's functions in each run.
--
-- KEYS owner, position, mailbox
-- ARGV fence, from, to, trim, acts...
-- Reply: 'stale', 'repeated', 'at:<position>', or the outcomes of the acts that have one

--- @include "sharding/fence"
--- @include "write-acts"
--- @include "report-acts"

return with_log(function()
  return fenced(function()
    local outcomes, i = {}, ARGV.acts
    while i <= #ARGV do
      local act = ARGV[i]
      i = do_report(act, i + 1, outcomes) or do_write(act, i + 1, outcomes)
    end
    -- Before the position moves: if this fails, the commit has failed.
    write_costs()
    return outcomes
  end)
end, write_costs)
