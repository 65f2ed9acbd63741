/**
 * Format 2 keeps one waiting refusal and one to-do for each client. 0.1.0 wrote a to-do with the whole answer for each
 * refused message; the newest of each client is kept. The keys in which 0.1.0 recorded answered ids stay: they expire
 * after seven days.
 */
import type { Redis } from '@app/platform';
import { z } from 'zod';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import { encodeRefused } from '../connections/refusals.js';
import type { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';
import type { MigrationStep } from './migration-step.js';

/** The to-do of 0.1.0 for one refused handshake. */
const FormerReply = z.strictObject({
  do: z.literal('answer'),
  client_id: z.string(),
  answer: z.strictObject({
    type: z.literal('handshake-error'),
    in_response_to: z.string().nullable(),
    payload: z.strictObject({ details: z.string() }),
  }),
  message_id: z.string(),
});
type FormerReply = z.infer<typeof FormerReply>;

/** To-dos of one page. */
const PAGE = 500;

const replaceReply = commands.load<
  { owner: string; todo: string; waiting: string },
  { fence: string; old_todo: string; new_todo: string; field: string; text: string },
  -1 | 0 | 1
>('migrate-refusal-answer');

export const REFUSAL_REPLIES: MigrationStep = {
  to: 2,
  what: 'refused handshakes that wait for their answer',
  run: async (redis, keys, grant) => {
    const old: { text: string; todo: FormerReply }[] = [];
    for (let from = 0; ; from += PAGE) {
      const texts = await redis.zrange(keys.todo(grant.index), String(from), String(from + PAGE - 1));
      for (const text of texts) {
        const todo = refusalOf(text);
        if (todo !== undefined) old.push({ text, todo });
      }
      if (texts.length < PAGE) break;
    }
    // In the order of due times, so that the newest refusal of a client replaces the others.
    for (const { text, todo } of old) await replace(redis, keys, grant, text, todo);
  },
};

async function replace(redis: Redis, keys: RegistryKeys, grant: Grant, text: string, todo: FormerReply): Promise<void> {
  const { client_id, answer, message_id } = todo;
  const [waiting] = keys.refusals(grant.index);
  const refused = {
    clientId: client_id,
    inResponseTo: answer.in_response_to,
    details: answer.payload.details,
    messageId: message_id,
  };
  const [field, refusal] = encodeRefused(refused);
  const shardKeys = { owner: keys.owner(grant), todo: keys.todo(grant.index), waiting };
  const todos = { old_todo: text, new_todo: encodeToDo({ do: 'refuse', client_id }) };
  const reply = await replaceReply.run(redis, shardKeys, { fence: grant.fence, ...todos, field, text: refusal });
  if (reply === -1) throw new StaleOwnerError(grant);
}

/** Ignores an unreadable to-do: housekeeping dead-letters it. */
function refusalOf(text: string): FormerReply | undefined {
  try {
    return FormerReply.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
