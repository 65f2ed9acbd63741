/**
 * Refused handshakes that are to be answered with a `handshake-error`, and those that were. A client has one to-do,
 * `refuse`, however many of its messages are refused: the newest refusal waits in a hash of the shard, written by the
 * fenced commit, until a second has passed since the last answer to this client.
 *
 * - Of messages with a readable id and of those without one, the newest waits; the second kind goes out once a minute.
 * - An id counts as answered when its answer was published. The last 8 ids of a client are remembered, for the 10,000
 *   clients of a shard that were answered last. So nothing that a client sends makes more than one entry for it.
 */
import { createHash } from 'node:crypto';
import { encodeAnswer } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';

/** Shortest time between two answers to a client. */
export const REFUSAL_EVERY_MS = 1000;
/** Shortest time between two answers to a client about messages without a readable id. */
const UNREADABLE_EVERY_MS = 60_000;
const IDS_REMEMBERED = 8;
const CLIENTS_REMEMBERED = 10_000;
/** What is remembered of a shard goes if it answers nobody for so long. */
const REMEMBERED_MS = 7 * 86_400_000;

export interface Refused {
  clientId: string;
  /** Id of the refused message, null if it had none that can be read. */
  inResponseTo: string | null;
  details: string;
  /** Id of the answer. */
  messageId: string;
}

/** A refusal whose time has come. */
export interface DueRefusal extends Refused {
  /** Its field in the hash, and what stands there. */
  field: string;
  text: string;
}

/** Field and value under which a refusal waits: a newer one of the same client and kind takes its place. */
export function encodeRefused({ clientId, inResponseTo, details, messageId }: Refused): [field: string, text: string] {
  const id = inResponseTo === null ? '' : createHash('sha256').update(inResponseTo).digest('base64url').slice(0, 16);
  const kind = inResponseTo === null ? NO_ID : WITH_ID;
  return [kind + clientId, `${id}\n${JSON.stringify({ inResponseTo, details, messageId })}`];
}

const WITH_ID = 'id/';
const NO_ID = 'no-id/';

/**
 * KEYS owner, waiting, answered, answered by time, to-dos · ARGV fence, client, to-do, then what the script says.
 * `next()`: the field and text of the refusal that may be answered now. If none may, it puts the to-do off until one
 * may, or removes it.
 * What is remembered of a client is `<last answer>;<last one without an id>;<digest> <digest> …`.
 */
const REFUSALS_LUA = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local client = ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function plain(number) return string.format('%.0f', number) end
local last, unreadable, ids = string.match(redis.call('HGET', KEYS[3], client) or '0;0;', '^(%d+);(%d+);(.*)$')
last, unreadable = math.min(now, tonumber(last)), math.min(now, tonumber(unreadable))

local function next()
  local due, field, text
  for _, kind in ipairs({ '${WITH_ID}', '${NO_ID}' }) do
    local waiting = redis.call('HGET', KEYS[2], kind .. client)
    local id = waiting and string.match(waiting, '^[^\\n]*')
    if id and id ~= '' and string.find(' ' .. ids .. ' ', ' ' .. id .. ' ', 1, true) then
      redis.call('HDEL', KEYS[2], kind .. client)
    elseif id then
      local from = last > 0 and last + ${REFUSAL_EVERY_MS} or 0
      if id == '' and unreadable > 0 then from = math.max(from, unreadable + ${UNREADABLE_EVERY_MS}) end
      if not due or from < due then due, field, text = from, kind .. client, waiting end
    end
  end
  if not due then
    redis.call('ZREM', KEYS[5], ARGV[3])
    return 0
  end
  if due > now then
    redis.call('ZADD', KEYS[5], plain(due), ARGV[3])
    return 0
  end
  return { field, text }
end
`;

const nextScript = new RedisScript<-1 | 0 | [field: string, text: string]>(
  'ccNextRefusal',
  `${REFUSALS_LUA}
   return next()`,
);

/** Further ARGV: field, text, whether it reached the client. */
const answeredScript = new RedisScript<-1 | 0>(
  'ccRefusalAnswered',
  `${REFUSALS_LUA}
   local field, text = ARGV[4], ARGV[5]
   if redis.call('HGET', KEYS[2], field) == text then redis.call('HDEL', KEYS[2], field) end
   local id = string.match(text, '^[^\\n]*')
   last = now
   if id == '' then
     unreadable = now
   elseif ARGV[6] == '1' then
     local kept = { id }
     for one in string.gmatch(ids, '%S+') do
       if #kept < ${IDS_REMEMBERED} and one ~= id then kept[#kept + 1] = one end
     end
     ids = table.concat(kept, ' ')
   end
   redis.call('HSET', KEYS[3], client, plain(last) .. ';' .. plain(unreadable) .. ';' .. ids)
   redis.call('ZADD', KEYS[4], plain(now), client)
   local surplus = redis.call('ZCARD', KEYS[4]) - ${CLIENTS_REMEMBERED}
   if surplus > 0 then
     local oldest = redis.call('ZPOPMIN', KEYS[4], math.min(surplus, 100))
     for i = 1, #oldest, 2 do redis.call('HDEL', KEYS[3], oldest[i]) end
   end
   for i = 3, 4 do redis.call('PEXPIRE', KEYS[i], ${REMEMBERED_MS}) end
   next()
   return 0`,
);

export class Refusals {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /**
   * The refusal of this client to answer now; undefined if there is none, or not yet: then the client's to-do has been
   * removed or put off. @throws StaleOwnerError
   */
  async next(grant: Grant, clientId: string): Promise<DueRefusal | undefined> {
    const reply = await nextScript.run(this.redis, this.keysOf(grant), argsOf(grant, clientId));
    if (reply === -1) throw new StaleOwnerError(grant);
    if (reply === 0) return undefined;
    const [field, text] = reply;
    const refused = JSON.parse(text.slice(text.indexOf('\n') + 1)) as Omit<Refused, 'clientId'>;
    return { clientId, ...refused, field, text };
  }

  /**
   * The refusal has been dealt with, and its to-do is removed, or put off if a newer refusal waits.
   * @param reached the answer was published, and not to nobody: its id is answered
   * @throws StaleOwnerError
   */
  async answered(grant: Grant, { clientId, field, text }: DueRefusal, reached: boolean): Promise<void> {
    const args = [...argsOf(grant, clientId), field, text, reached ? 1 : 0];
    const reply = await answeredScript.run(this.redis, this.keysOf(grant), args);
    if (reply === -1) throw new StaleOwnerError(grant);
  }

  private keysOf(grant: Grant): string[] {
    const { keys } = this;
    return [keys.owner(grant), ...keys.refusals(grant.index), keys.todo(grant.index)];
  }
}

export function encodeHandshakeError({ inResponseTo, details, messageId }: Refused): string {
  return encodeAnswer({ type: 'handshake-error', in_response_to: inResponseTo, payload: { details } }, messageId);
}

function argsOf(grant: Grant, clientId: string): string[] {
  return [grant.fence, clientId, encodeToDo({ do: 'refuse', client_id: clientId })];
}
