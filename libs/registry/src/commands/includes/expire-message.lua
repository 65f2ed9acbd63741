-- The end of a message whose time to live has ended. A publish of which nobody knows the outcome may have reached the client, so
-- the message is not `expired` then.
--
-- expire(id, message, is_outcome_unknown): makes a loaded message `expired`; `failed` if `is_outcome_unknown`, or if its history names such a
--   publish. Returns the new status; nil if the message is final already.
-- has_failed_unknown(message): whether a loaded message has failed in this way.

--- @include "move-message"

local function expire(id, m, is_outcome_unknown)
  if is_outcome_unknown or string.find(m.history, OUTCOME_UNKNOWN, 1, true) then
    return move(id, m, 'failed', 'failed', EXPIRED_UNKNOWN) and 'failed' or nil
  end
  if m.status == 'in_flight' then move(id, m, 'queued', 'queued') end
  return move(id, m, 'expired', 'expired') and 'expired' or nil
end

local function has_failed_unknown(m)
  return m.status == 'failed' and string.find(string.match(m.history, '[^\t]*$'), EXPIRED_UNKNOWN, 1, true) and true or false
end
