/** Dead letters as the REST API shows them. */
import type { DeadLetterCursor, DeadLetterPage } from '@app/registry';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { pageLimit } from '../http/paging.js';
import { ClientIdValue, DeadLetterReasonValue, NextCursor, ShardNumber, timeOf } from '../http/values.dto.js';

const DeadLetter = z
  .object({
    at: timeOf('When it was stored.'),
    shard: ShardNumber,
    client_id: ClientIdValue,
    topic: z.string().meta({ description: 'Template of its topic; empty if it was not received on a topic.' }),
    reason: DeadLetterReasonValue.meta({ description: 'Why it could not be processed.' }),
    details: z.string().meta({ description: 'Why it could not be processed, for people.' }),
    sample: z.string().meta({ description: 'The first 1,024 characters of the message.' }),
  })
  .meta({ id: 'DeadLetter', description: 'A message of a client that could not be processed.' });

export const DeadLetterPageBody = z
  .object({ data: z.array(DeadLetter).meta({ description: 'The dead letters.' }), next_cursor: NextCursor })
  .meta({ id: 'DeadLetterPage', description: 'A page of dead letters.' });
export type DeadLetterPageBody = z.infer<typeof DeadLetterPageBody>;

const CURSOR = new Cursor<DeadLetterCursor>(
  z.object({ id: z.string().regex(/^\d{1,15}-\d{1,10}$/), shard: z.int().min(0).max(4095) }),
);

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const DeadLettersQuery = z.strictObject({
  limit: pageLimit(200),
  cursor: CURSOR.parameter,
});
export type DeadLettersQuery = z.infer<typeof DeadLettersQuery>;

export function toDeadLetterPage({ letters, next }: DeadLetterPage): DeadLetterPageBody {
  return {
    data: letters.map(({ at, ...letter }) => ({ at: new Date(at).toISOString(), ...letter })),
    next_cursor: CURSOR.encode(next),
  };
}
