/** What time makes due on a shard: to-dos and expired messages. For the shard's owner. */
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { MESSAGE_LUA } from './message-status.js';
import type { RegistryKeys } from './registry-keys.js';
import { decodeToDo, encodeToDo, WAKE_AGAIN_MS, type ToDo } from './to-do.js';

export interface DueWork {
  todos: ToDo[];
  /** Messages that became `expired` by this call. */
  expired: number;
  /** More is due than one call takes. */
  more: boolean;
}

/** Most to-dos, and most messages, of one call. */
const BATCH = 100;

/**
 * KEYS owner, todo, expiry · ARGV fence, batch, again ms, message key prefix, outbox key prefix
 * → false where stale | [expired count, more 0/1, to-do …]
 */
const dueScript = new RedisScript<null | [number, number, ...string[]]>(
  'ccDue',
  `${MESSAGE_LUA}
   if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
   local at = now()
   local until_now, batch = string.format('%.0f', at), tonumber(ARGV[2])
   local expired = 0
   local ids = redis.call('ZRANGE', KEYS[3], '-inf', until_now, 'BYSCORE', 'LIMIT', 0, batch)
   for _, id in ipairs(ids) do
     local key = ARGV[4] .. id
     local m = redis.call('HMGET', key, 'status', 'client_id')
     if m[1] == 'in_flight' then
       redis.call('ZADD', KEYS[3], string.format('%.0f', at + 1000), id)
     else
       if m[1] == 'queued' and move(key, 'expired', at) then
         redis.call('LREM', ARGV[5] .. m[2], 1, id)
         expired = expired + 1
       end
       redis.call('ZREM', KEYS[3], id)
     end
   end
   local todos = redis.call('ZRANGE', KEYS[2], '-inf', until_now, 'BYSCORE', 'LIMIT', 0, batch)
   local again = string.format('%.0f', at + tonumber(ARGV[3]))
   for _, todo in ipairs(todos) do redis.call('ZADD', KEYS[2], again, todo) end
   return { expired, (#ids == batch or #todos == batch) and 1 or 0, unpack(todos) }`,
);

/** KEYS owner, todo · ARGV fence, to-do … */
const doneScript = new RedisScript<number>(
  'ccDone',
  `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
   return redis.call('ZREM', KEYS[2], unpack(ARGV, 2))`,
);

export class DueWorkOfShards {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /** Takes what is due; a to-do that is not done comes up again. @throws StaleOwnerError */
  async take(grant: Grant): Promise<DueWork> {
    const { keys } = this;
    const shard = grant.index;
    const reply = await dueScript.run(
      this.redis,
      [keys.owner(grant), keys.todo(shard), keys.expiry(shard)],
      [grant.fence, BATCH, WAKE_AGAIN_MS, keys.messagePrefix(shard), keys.outboxPrefix(shard)],
    );
    if (reply === null) throw new StaleOwnerError(grant);
    const [expired, more, ...todos] = reply;
    return { expired, more: more === 1, todos: todos.map(decodeToDo) };
  }

  /** Removes to-dos that are done. Wake-ups are not removed here: the drain does it when there is nothing left. */
  async done(grant: Grant, todos: readonly ToDo[]): Promise<void> {
    if (todos.length === 0) return;
    const keys = [this.keys.owner(grant), this.keys.todo(grant.index)];
    const reply = await doneScript.run(this.redis, keys, [grant.fence, ...todos.map(encodeToDo)]);
    if (reply === -1) throw new StaleOwnerError(grant);
  }
}
