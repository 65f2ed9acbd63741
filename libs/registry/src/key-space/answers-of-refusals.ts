/**
 * Format 2 keeps one waiting refusal a client and one to-do for it. 0.1.0 wrote a to-do for each refused message, with
 * the whole answer: the newest of each client stays. The keys in which 0.1.0 noted each answered id are left alone;
 * they have an expiry of seven days.
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import { encodeRefused } from '../connections/refusals.js';
import type { RegistryKeys } from '../keys.js';
import { decodeToDo, encodeToDo, type ToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

/** To-dos of one page. */
const PAGE = 500;

const replaceAnswer = commands.load<
  { owner: string; todo: string; waiting: string },
  { fence: string; old_todo: string; new_todo: string; field: string; text: string },
  -1 | 0 | 1
>('migrate-refusal-answer');

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
  const [field, text] = encodeRefused(refused);
  const shardKeys = { owner: keys.owner(grant), todo: keys.todo(grant.index), waiting };
  const todos = { old_todo: encodeToDo(todo), new_todo: encodeToDo({ do: 'refuse', client_id }) };
  const reply = await replaceAnswer.run(redis, shardKeys, { fence: grant.fence, ...todos, field, text });
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
