/** Whether a message may go to a client, given whose both are; shared by the scripts that publish and that tidy up. */
import { RedisScript } from '@app/platform';
import { messageScript } from './message-script.js';

/** Details of a message that was accepted for one account while its client belongs to another one now. */
export const ACCOUNT_MOVED = 'the client belongs to another account now';

/**
 * Behind `MESSAGE_LUA`. `belongs_elsewhere(m, account, is_known)`: whether message `m` must never go to its client, whose
 * account is `account` (false for none). A client that is not known has no account yet: it may come back with the old one.
 * Not to be asked while the client's account is being asked for.
 */
export const ACCOUNT_LUA = `
local function belongs_elsewhere(m, account, is_known)
  if not m[5] or m[5] == account then return false end
  return (account or is_known) and true or false
end

local function fail_moved(client, id, m)
  move(id, m, 'failed', 'failed', '${ACCOUNT_MOVED}')
  remove_from_outbox(client, id)
end
`;

/** Messages of an outbox that one script looks at. */
const LOOKED_AT = 500;

/**
 * Fails what an outbox holds for another account than the client's. What is in flight is left to the completion of its
 * publish.
 * KEYS `ofMessages` · ARGV client id, where to go on
 * → how many failed, and where to go on; -1 when the whole outbox has been looked at
 */
export const failMovedScript = new RedisScript<[failed: number, next: number]>(
  'ccFailMoved',
  messageScript(
    `
   local client, from = ARGV[1], tonumber(ARGV[2])
   if call('SISMEMBER', ACCOUNTS_ASKED, client) == 1 then return { 0, -1 } end
   local account, is_known = call('HGET', ACCOUNTS, client), call('HEXISTS', CONNECTIONS, client) == 1
   if outbox_length(client) == 0 then return { 0, -1 } end
   local ids = call('LRANGE', OUTBOX .. client, from, from + ${LOOKED_AT - 1})
   local failed = 0
   for _, id in ipairs(ids) do
     local m = load(id)
     if m[1] == 'queued' and belongs_elsewhere(m, account, is_known) then
       fail_moved(client, id, m)
       failed = failed + 1
     end
   end
   return { failed, #ids < ${LOOKED_AT} and -1 or from + #ids - failed }`,
    ACCOUNT_LUA,
  ),
);
