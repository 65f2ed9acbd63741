/**
 * Format 2 keeps one waiting refusal a client and one to-do for it. 0.1.0 wrote a to-do for each refused message, with
 * the whole answer: the newest of each client stays. The keys in which 0.1.0 noted each answered id are left alone;
 * they have an expiry of seven days.
 */
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { encodeRefused } from '../connections/refusals.js';
import type { RegistryKeys } from '../keys.js';
import { decodeToDo, encodeToDo, type ToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

/** To-dos of one page. */
const PAGE = 500;

/** KEYS owner, to-dos, waiting · ARGV fence, old to-do, new to-do, field, text → -1 stale */
const replaceScript = new RedisScript<number>(
  'ccReplaceAnswer',
  `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
   local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
   if not due then return 0 end
   redis.call('ZREM', KEYS[2], ARGV[2])
   redis.call('ZADD', KEYS[2], due, ARGV[3])
   redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
   return 1`,
);

export const ANSWERS_OF_REFUSALS: MigrationStep = {
  to: 2,
  what: 'refused handshakes that wait for their answer',
  run: async (redis, keys, grant) => {
    const old: Extract<ToDo, { do: 'answer' }>[] = [];
    for (let from = 0; ; from += PAGE) {
      const texts = await redis.zrange(keys.todo(grant.index), String(from), String(from + PAGE - 1));
      for (const text of texts) {
        const todo = refusalOf(text);
        if (todo !== undefined) old.push(todo);
      }
      if (texts.length < PAGE) break;
    }
    // In the order of their time, so that the newest of a client is the one that stays.
    for (const todo of old) await replace(redis, keys, grant, todo);
  },
};

async function replace(
  redis: Redis,
  keys: RegistryKeys,
  grant: Grant,
  todo: Extract<ToDo, { do: 'answer' }>,
): Promise<void> {
  const { client_id, answer, message_id } = todo;
  if (answer.type !== 'handshake-error') return;
  const [waiting] = keys.refusals(grant.index);
  const refused = {
    clientId: client_id,
    inResponseTo: answer.in_response_to,
    details: answer.payload.details,
    messageId: message_id,
  };
  const reply = await replaceScript.run(
    redis,
    [keys.owner(grant), keys.todo(grant.index), waiting],
    [grant.fence, encodeToDo(todo), encodeToDo({ do: 'refuse', client_id }), ...encodeRefused(refused)],
  );
  if (reply === -1) throw new StaleOwnerError(grant);
}

/** One that cannot be read is left for housekeeping, which moves it to the dead letters. */
function refusalOf(text: string): Extract<ToDo, { do: 'answer' }> | undefined {
  try {
    const todo = decodeToDo(text);
    return todo.do === 'answer' && todo.answer.type === 'handshake-error' ? todo : undefined;
  } catch {
    return undefined;
  }
}
