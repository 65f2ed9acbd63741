#!lua flags=allow-oom
-- Applies a client's `message-error`: the message becomes `failed` if it was claimed for this client at least once. It is for the
-- to-dos of 0.1.0; commits have the same act.
--
-- ARGV client, message_id, details, unmatched_event
--   unmatched_event: the event to append if no message of the client matches; '' for none
-- Reply: 'failed', 'repeated', 'unknown', 'foreign' or 'not-published'

--- @include "report-acts"

return with_log(function()
  return answer(ARGV.client, ARGV.message_id, ARGV.details, ARGV.unmatched_event)
end, write_costs)
