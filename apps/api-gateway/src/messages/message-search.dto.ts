/** Messages across connections, as the REST API lists them. */
import { WALKED_SETS, type MessagesCursor, type SearchPosition } from '@app/registry';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { pageLimit } from '../http/paging.js';
import { ClientIdParam, TimestampParam } from '../http/validation.js';
import { MessageStatusValue, NextCursor, countOf } from '../http/values.dto.js';
import { MessageBody } from './message.dto.js';

export type MessageSearchCursor = SearchPosition | { client: MessagesCursor };

const shard = z.int().min(0).max(4095);
const score = z.string().regex(/^\d{0,16}$/);
const id = z.string().regex(/^([0-9a-f-]{36})?$/);
const set = z.enum(['', ...WALKED_SETS]);
const place = z.int().min(0).max(1e9);
const Tuple = z.union([
  z.tuple([z.literal('walk'), shard, set, score, z.string().max(1024), id, place]),
  z.tuple([z.literal('account'), shard, z.string().max(1024), z.int().min(0)]),
  z.tuple([z.literal('client'), z.int().min(1)]),
]);
const Position = z.custom<MessageSearchCursor>((value) => typeof value === 'object');

export const SEARCH_CURSOR = new Cursor<MessageSearchCursor>(
  z.codec(Tuple, Position, {
    decode: (tuple): MessageSearchCursor => {
      switch (tuple[0]) {
        case 'walk': {
          const [, shard, set, score, name, id, place] = tuple;
          return { walk: { shard, set, score, name, id, place } };
        }
        case 'account':
          return { account: { shard: tuple[1], client: tuple[2], before: tuple[3] } };
        case 'client':
          return { client: tuple[1] };
      }
    },
    encode: (position): z.infer<typeof Tuple> => {
      if ('client' in position) return ['client', position.client];
      if ('account' in position) {
        const { shard, client, before } = position.account;
        return ['account', shard, client, before];
      }
      const { shard, set, score, name, id, place } = position.walk;
      return ['walk', shard, set, score, name, id, place];
    },
  }),
);

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const MessageSearchQuery = z.strictObject({
  status: MessageStatusValue.optional().meta({ description: 'Only messages with this status.' }),
  client_id: ClientIdParam.optional().meta({ description: 'Only messages to this client.' }),
  since: TimestampParam.optional().meta({
    description: 'Only messages that were accepted then or later.',
    example: '2026-11-30T06:00:00Z',
  }),
  limit: pageLimit(1000),
  cursor: SEARCH_CURSOR.parameter,
});
export type MessageSearchQuery = z.infer<typeof MessageSearchQuery>;

export const FoundMessagesBody = z
  .object({
    data: z.array(MessageBody).meta({ description: 'The messages.' }),
    next_cursor: NextCursor,
    looked_at: countOf('').nullable().meta({
      description:
        'How many messages, and lists of them, this page has looked at. null for a caller that is bound to an account.',
    }),
  })
  .meta({ id: 'FoundMessages', description: 'A page of messages to any clients.' });
export type FoundMessagesBody = z.infer<typeof FoundMessagesBody>;
