#!lua flags=allow-oom
-- Applies a client's `message-error`: the message becomes `failed` if it was claimed for this client at least once. It is for the
-- to-dos of 0.1.0; commits have the same act.
--
-- ARGV client, message_id, status, details, answer_id, answer, size, payload, unmatched
-- Reply: the outcome of the act `answer`

--- @include "report-acts"

return with_log(function()
  return answer(ARGV.client, ARGV.message_id, ARGV.status, ARGV.details, ARGV.answer_id, ARGV.answer, ARGV.size, ARGV.payload,
    ARGV.unmatched)
end, write_costs)
