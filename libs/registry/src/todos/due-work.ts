/** What time makes due on a shard: to-dos, and messages that expire or are forgotten. For the shard's owner. */
import { RedisScript, type Redis } from '@app/platform';
import { logScript, StaleOwnerError, type Grant } from '@app/sharding';
import type { DeadLetter } from '../events/event.js';
import { DEAD_LETTERS_SHARE } from '../events/event-log.js';
import { FINISHED_LIMITS, FINISHED_LUA, type FinishedLimits } from '../messages/finished-messages.js';
import { messageScript, OF_MESSAGES } from '../messages/message-script.js';
import type { RegistryKeys } from '../keys.js';
import { WAKE_AGAIN_MS } from '../messages/wake-todo.js';
import { decodeToDo, encodeToDo, type DueToDo } from './to-do.js';

export interface DueWork {
  todos: DueToDo[];
  /** To-dos that no release up to this one wrote: to be moved to the dead letters. */
  unreadable: UnreadableToDo[];
  /** Messages that became `expired` by this call. */
  expired: number;
  /** Finished messages whose retention has ended: they are gone by this call. */
  forgotten: number;
  /** Finished messages that are gone before that, since the shard has too many of them. */
  forgottenEarly: number;
  /** More is due than one call takes. */
  more: boolean;
}

export interface UnreadableToDo {
  text: string;
  /** Why it cannot be read. */
  problem: string;
}

/** Most to-dos, and most messages, of one call. */
const BATCH = 100;
/** Most messages that one call forgets before their time: with many calls a second, more than a shard can finish. */
const SURPLUS_BATCH = 200;

/**
 * To-dos that are taken come up again at a time that ends on half a millisecond, and commits write whole ones: so one
 * that is written anew while it is being done is never taken for the one that was taken.
 * KEYS `ofMessages`, owner · ARGV fence, batch, again ms, finished messages that are kept at most, their bytes, surplus batch
 * → false where stale | [expired count, forgotten count, forgotten early, more 0/1, due time, to-do …]
 */
const dueScript = new RedisScript<null | [number, number, number, number, string, ...string[]]>(
  'ccDue',
  messageScript(
    `
   if call('GET', KEYS[${OF_MESSAGES + 1}]) ~= ARGV[1] then return false end
   local batch = tonumber(ARGV[2])
   local function due(set) return call('ZRANGE', set, '-inf', at_text, 'BYSCORE', 'LIMIT', 0, batch) end

   local expired = 0
   local ids = due(EXPIRY)
   for _, id in ipairs(ids) do
     local m = load(id)
     if m[1] == 'in_flight' then
       call('ZADD', EXPIRY, string.format('%.0f', at + 1000), id)
     elseif m[1] == 'queued' and move(id, m, 'expired', 'expired') then
       remove_from_outbox(m[3], id)
       expired = expired + 1
     else
       call('ZREM', EXPIRY, id)
     end
   end

   write_weights()
   local old = due(FINISHED)
   for _, id in ipairs(old) do forget(id) end
   forgotten()
   local surplus_batch = tonumber(ARGV[6])
   local early = forget_surplus(tonumber(ARGV[4]), tonumber(ARGV[5]), surplus_batch)

   local todos = due(TODO)
   local again = string.format('%.1f', at + tonumber(ARGV[3]) + 0.5)
   for _, todo in ipairs(todos) do call('ZADD', TODO, again, todo) end
   local more = #ids == batch or #old == batch or #todos == batch or early == surplus_batch
   return { expired, #old, early, more and 1 or 0, again, unpack(todos) }`,
    FINISHED_LUA,
  ),
);

/** KEYS owner, todo · ARGV fence, then to-do and due time in turn; one that was written anew stays. */
const doneScript = new RedisScript<number>(
  'ccDone',
  `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
   for i = 2, #ARGV, 2 do
     local due = redis.call('ZSCORE', KEYS[2], ARGV[i])
     if due and tonumber(due) == tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[2], ARGV[i]) end
   end
   return 0`,
);

/** KEYS owner, to-dos, dead letters, log · ARGV fence, then to-do and dead letter in turn → how many were moved; -1 stale. */
const unreadableScript = new RedisScript<number>(
  'ccUnreadableToDos',
  logScript(`
   if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
   local time = log_time()
   local at = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
   local moved = 0
   for i = 2, #ARGV, 2 do
     if redis.call('ZREM', KEYS[2], ARGV[i]) == 1 then
       log_append(KEYS[4], KEYS[3], 'dead-letters', ${DEAD_LETTERS_SHARE}, { 'at', at, 'letter', ARGV[i + 1] })
       moved = moved + 1
     end
   end
   return moved`),
);

export class DueWorkOfShards {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly finishedLimits: (shard: number) => FinishedLimits = () => FINISHED_LIMITS,
  ) {}

  /** Takes what is due; a to-do that is not done comes up again. @throws StaleOwnerError */
  async take(grant: Grant): Promise<DueWork> {
    const { keys } = this;
    const shard = grant.index;
    const scriptKeys = [...keys.ofMessages(shard), keys.owner(grant)];
    const { count, bytes } = this.finishedLimits(shard);
    const args = [grant.fence, BATCH, WAKE_AGAIN_MS, count, bytes, SURPLUS_BATCH];
    const reply = await dueScript.run(this.redis, scriptKeys, args);
    if (reply === null) throw new StaleOwnerError(grant);
    const [expired, forgotten, forgottenEarly, more, again, ...todos] = reply;
    const due = Number(again);
    return {
      expired,
      forgotten,
      forgottenEarly,
      more: more === 1,
      ...decodeAll(todos, due),
    };
  }

  /** Moves to-dos that cannot be read to the dead letters. @returns how many there were @throws StaleOwnerError */
  async deadLetter(grant: Grant, unreadable: readonly UnreadableToDo[]): Promise<number> {
    if (unreadable.length === 0) return 0;
    const keys = [
      this.keys.owner(grant),
      this.keys.todo(grant.index),
      this.keys.deadLetters(grant.index),
      this.keys.log(grant.index),
    ];
    const moved = await unreadableScript.run(this.redis, keys, [
      grant.fence,
      ...unreadable.flatMap((one) => [one.text, JSON.stringify(letterOf(one))]),
    ]);
    if (moved === -1) throw new StaleOwnerError(grant);
    return moved;
  }

  /**
   * Removes to-dos that are done, but not those that were written anew meanwhile. Wake-ups are not removed here: the
   * drain does it when there is nothing left.
   */
  async done(grant: Grant, todos: readonly DueToDo[]): Promise<void> {
    if (todos.length === 0) return;
    const keys = [this.keys.owner(grant), this.keys.todo(grant.index)];
    const reply = await doneScript.run(this.redis, keys, [
      grant.fence,
      ...todos.flatMap(({ todo, due }) => [encodeToDo(todo), due]),
    ]);
    if (reply === -1) throw new StaleOwnerError(grant);
  }
}

function decodeAll(texts: readonly string[], due: number): Pick<DueWork, 'todos' | 'unreadable'> {
  const todos: DueToDo[] = [];
  const unreadable: UnreadableToDo[] = [];
  for (const text of texts) {
    try {
      todos.push({ todo: decodeToDo(text), due });
    } catch (error) {
      unreadable.push({ text, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { todos, unreadable };
}

function letterOf({ text, problem }: UnreadableToDo): DeadLetter {
  return {
    client_id: /"client_id":"([^"\\]{1,256})"/.exec(text)?.[1] ?? '',
    topic: '',
    reason: 'internal-error',
    details: `a to-do of the shard cannot be read: ${problem}`.slice(0, 1000),
    sample: text.slice(0, 1024),
  };
}
