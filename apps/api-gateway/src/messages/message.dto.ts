/** Messages as the REST API accepts and shows them. */
import { MESSAGE_STATUSES, type AcceptedMessage, type MessagesCursor, type StoredMessage } from '@app/registry';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { pageLimit } from '../http/paging.js';
import { ProblemBody } from '../http/problem.js';
import { schemaOf } from '../http/schema.js';
import { ClientIdParam } from '../http/validation.js';

const time = z.iso.datetime();

/** A lone surrogate cannot be written in UTF-8: it would change on the way, and two texts could become equal. */
const text = (most: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(most)
    .refine((value) => value.isWellFormed(), { error: 'has half of a surrogate pair' });

const toSend = {
  directive: text(256)
    .refine((text) => text.trim() !== '', { error: 'must not be blank' })
    .meta({ description: 'Tells the client what to do with the payload.', example: 'rhc:work' }),
  payload: z.unknown().optional().meta({ description: 'Any JSON value.' }),
  ttl_seconds: z
    .int()
    .min(1)
    .max(2_592_000)
    .default(3600)
    .meta({ description: 'How long the message is worth sending.' }),
  when_offline: z
    .enum(['hold', 'reject'])
    .default('hold')
    .meta({ description: 'Keep the message until the client is back, or answer 409.' }),
};

export const SendMessageBody = z.strictObject(toSend).meta({ id: 'SendMessage' });
export type SendMessageBody = z.infer<typeof SendMessageBody>;

/** One message of a batch. */
export const BatchItem = z.strictObject({
  client_id: ClientIdParam,
  ...toSend,
  idempotency_key: text(128).optional().meta({ description: 'As the header `Idempotency-Key` of a single message.' }),
});
export type BatchItem = z.infer<typeof BatchItem>;

/** Most messages of one batch. */
const BATCH_LIMIT = 1000;

/** Items are validated one by one, since a wrong item must not affect the others; the document shows their schema. */
export const BatchBody = z
  .strictObject({
    messages: z
      .array(z.unknown().meta(schemaOf(BatchItem, 'input')))
      .min(1)
      .max(BATCH_LIMIT),
  })
  .meta({ id: 'MessageBatch' });
export type BatchBody = z.infer<typeof BatchBody>;

const shared = {
  message_id: z.uuid(),
  client_id: z.string(),
  directive: z.string(),
  status: z.enum(MESSAGE_STATUSES),
  created_at: time,
  expires_at: time,
};

export const AcceptedMessageBody = z.object(shared).meta({ id: 'AcceptedMessage' });
export type AcceptedMessageBody = z.infer<typeof AcceptedMessageBody>;

export const MessageBody = z
  .object({
    ...shared,
    status_history: z.array(z.object({ status: z.enum(MESSAGE_STATUSES), at: time, details: z.string().nullable() })),
  })
  .meta({ id: 'Message' });
export type MessageBody = z.infer<typeof MessageBody>;

export const BatchResultBody = z
  .object({
    results: z.array(
      z.object({
        status: z
          .int()
          .meta({ description: 'As the HTTP status of a single message: 202, 404, 409, 413, 422, 429, 503.' }),
        message: AcceptedMessageBody.optional().meta({ description: 'With 202.' }),
        replayed: z
          .boolean()
          .optional()
          .meta({ description: '`true` if this is the first answer to the same idempotency_key.' }),
        problem: ProblemBody.omit({ instance: true, request_id: true })
          .extend({
            retry_after: z.int().optional().meta({ description: 'Seconds to wait before it is worth a repeat.' }),
          })
          .optional()
          .meta({ description: 'With any other status.' }),
      }),
    ),
  })
  .meta({ id: 'MessageBatchResult' });
export type BatchResultBody = z.infer<typeof BatchResultBody>;

export const MessagePageBody = z
  .object({ data: z.array(MessageBody), next_cursor: z.string().nullable() })
  .meta({ id: 'MessagePage' });
export type MessagePageBody = z.infer<typeof MessagePageBody>;

export const MESSAGE_CURSOR = new Cursor<MessagesCursor>(z.int().min(1));

// Without an id of its own: its members are the operation's parameters.
export const MessageListQuery = z.strictObject({
  status: z.enum(MESSAGE_STATUSES).optional(),
  limit: pageLimit(1000),
  cursor: MESSAGE_CURSOR.parameter,
});
export type MessageListQuery = z.infer<typeof MessageListQuery>;

export function toAcceptedBody(message: AcceptedMessage): AcceptedMessageBody {
  return {
    message_id: message.messageId,
    client_id: message.clientId,
    directive: message.directive,
    status: message.status,
    created_at: iso(message.createdAt),
    expires_at: iso(message.expiresAt),
  };
}

export function toMessageBody(message: StoredMessage): MessageBody {
  return {
    message_id: message.messageId,
    client_id: message.clientId,
    directive: message.directive,
    status: message.status,
    created_at: iso(message.createdAt),
    expires_at: iso(message.expiresAt),
    status_history: message.history.map(({ status, at, details }) => ({
      status,
      at: iso(at),
      details: details ?? null,
    })),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
