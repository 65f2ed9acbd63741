/** Messages as the REST API accepts and shows them, and their translation from and to the registry. */
import type { AcceptedMessage, MessagesCursor, NewMessage, StoredMessage } from '@app/registry';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { JsonText } from '../http/json-text.js';
import { pageLimit } from '../http/paging.js';
import { Problem, ProblemBody } from '../http/problem.js';
import { ClientIdParam } from '../http/validation.js';
import { ClientIdValue, MessageIdValue, MessageStatusValue, NextCursor, countOf, timeOf } from '../http/values.dto.js';
import type { MessagesSettings } from './messages.settings.js';
import { PayloadText } from './payload-text.js';

/** A lone surrogate is refused: UTF-8 cannot represent it, so it would be replaced, and two texts could become equal. */
const text = (most: number): z.ZodString =>
  z
    .string()
    .min(1)
    .max(most)
    .refine((value) => value.isWellFormed(), { error: 'has half of a surrogate pair' });

const WhenOffline = z.enum(['hold', 'reject']).meta({
  id: 'WhenOffline',
  description: '`hold`: the message is kept until the client is online. `reject`: it is refused with 409.',
});

const toSend = {
  directive: text(256)
    .refine((text) => text.trim() !== '', { error: 'must not be blank' })
    .meta({
      description: 'Tells the client what to do with the payload; not blank.',
      ...{ pattern: '\\S', example: 'demo:work' },
    }),
  payload: z.unknown().optional().meta({ description: 'Any JSON value.' }),
  ttl_seconds: z
    .int()
    .min(1)
    .max(2_592_000)
    .default(3600)
    .meta({ description: 'Time to live: an unsent message expires after it. 3600 if it is absent.', example: 3600 }),
  when_offline: WhenOffline.default('hold').meta({
    description: 'Keep the message until the client is back, or answer 409. `hold` if it is absent.',
  }),
  response_timeout_seconds: z
    .int()
    .min(1)
    .max(2_592_000)
    .optional()
    .meta({
      description:
        'For how long a `sent` message awaits the answer of its client; after that it is `unanswered`. Without it, the message may ' +
        'stay `sent`, and an answer that comes while it is kept still makes it `answered` or `failed`.',
      example: 60,
    }),
};

export const SendMessageBody = z
  .strictObject(toSend)
  .meta({ id: 'SendMessage', description: 'A message to one client.' });
export type SendMessageBody = z.infer<typeof SendMessageBody>;

/** One message of a batch. */
export const BatchItem = z
  .strictObject({
    client_id: ClientIdParam,
    ...toSend,
    idempotency_key: text(128).optional().meta({ description: 'As the header `Idempotency-Key` of a single message.' }),
  })
  .meta({ id: 'BatchMessage', description: 'One message of a batch.' });
export type BatchItem = z.infer<typeof BatchItem>;

/** Most messages of one batch. */
const BATCH_LIMIT = 1000;

/** Items are validated one by one, since an invalid item must not affect the others; the OpenAPI document has their schema. */
export const BatchBody = z
  .strictObject({
    messages: z
      .array(z.unknown().meta({ $ref: '#/components/schemas/BatchMessage' }))
      .min(1)
      .max(BATCH_LIMIT)
      .meta({ description: 'The messages, to any clients.' }),
  })
  .meta({ id: 'MessageBatch', description: 'Messages that are sent with one request.' });
export type BatchBody = z.infer<typeof BatchBody>;

const shared = {
  message_id: MessageIdValue,
  client_id: ClientIdValue,
  directive: z.string().meta({ description: 'Tells the client what to do with the payload.' }),
  status: MessageStatusValue.meta({
    description:
      '`held`: the client is offline, or the broker reported that it is not subscribed. `sent`: the broker took the message ' +
      'and did not report that nobody is subscribed; this does not mean that the client acted. A broker that never reports ' +
      'it (`no_subscriber_signal` of the cluster is false) makes a message `sent` that an online client does not receive.',
  }),
  created_at: timeOf('When it was accepted.'),
  expires_at: timeOf('When it expires, unless it is sent before.'),
};

export const AcceptedMessageBody = z
  .object(shared)
  .meta({ id: 'AcceptedMessage', description: 'A message as it was accepted.' });
export type AcceptedMessageBody = z.infer<typeof AcceptedMessageBody>;

const Omitted = z.enum(['storage-full']).meta({
  id: 'OmittedReason',
  description: 'Why the payload of an answer is not kept. `storage-full`: Redis used more memory than it should.',
});

const Answer = z
  .object({
    payload: z.unknown().meta({
      description: 'Any JSON value, as the client wrote it; null if the answer has none, or if it is omitted.',
    }),
    message_id: z.string().meta({ description: 'The id that the client has given its answer.' }),
    received_at: timeOf('When the answer came.'),
    late: z.boolean().meta({
      description:
        'It came after the message was `unanswered`, `expired` or `cancelled`, or `failed` without a known outcome of its ' +
        'publish, and did not change that.',
    }),
    omitted: Omitted.optional(),
    size: countOf('With `omitted`: the bytes of the payload.').optional(),
  })
  .meta({ id: 'MessageAnswer', description: 'What the client has answered.' });

const Progress = z
  .object({
    percent: z
      .number()
      .nullable()
      .meta({ description: 'How much of the work is done; null if the client did not say.' }),
    details: z.string().nullable().meta({ description: 'What the client said about it.' }),
    at: timeOf('When it was reported.'),
  })
  .meta({ id: 'MessageProgress', description: 'How far the client has come.' });

const StatusChange = z
  .object({
    status: MessageStatusValue.meta({ description: 'The status that it reached.' }),
    at: timeOf('When it reached the status.'),
    details: z.string().nullable().meta({ description: 'Why, if there is more to say.' }),
  })
  .meta({ id: 'StatusChange', description: 'A status that a message has reached.' });

export const MessageBody = z
  .object({
    ...shared,
    response_deadline: timeOf('').nullable().meta({
      description: 'When a `sent` message becomes `unanswered`; null if it never does, or was not sent yet.',
    }),
    progress: Progress.nullable().meta({ description: 'What the client has reported last, before its answer.' }),
    answer: Answer.nullable().meta({ description: 'What the client has answered; also if it is late.' }),
    status_history: z.array(StatusChange).meta({ description: 'What became of it, the earliest first.' }),
  })
  .meta({ id: 'Message', description: 'A message to a client, and what became of it.' });
export type MessageBody = z.infer<typeof MessageBody>;

const BatchProblem = ProblemBody.omit({ instance: true, request_id: true })
  .extend({ retry_after: countOf('Seconds to wait before the item is sent again.').optional() })
  .meta({ id: 'BatchProblem', description: 'Why a message of a batch was refused.' });

const BatchResultItem = z
  .object({
    status: z.int().meta({ description: 'As the HTTP status of a single message: 202, 404, 409, 413, 422, 429, 503.' }),
    message: AcceptedMessageBody.optional().meta({ description: 'With 202.' }),
    replayed: z
      .boolean()
      .optional()
      .meta({ description: '`true` if this is the first answer to the same idempotency_key.' }),
    problem: BatchProblem.optional().meta({ description: 'With any other status.' }),
  })
  .meta({ id: 'BatchResultItem', description: 'What became of one message of a batch.' });

export const BatchResultBody = z
  .object({
    results: z.array(BatchResultItem).meta({ description: 'One for each message, in their order.' }),
  })
  .meta({ id: 'MessageBatchResult', description: 'What became of the messages of a batch.' });
export type BatchResultBody = z.infer<typeof BatchResultBody>;

export const MessagePageBody = z
  .object({
    data: z.array(MessageBody).meta({ description: 'The messages, the newest first.' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'MessagePage', description: 'A page of the messages of a client.' });
export type MessagePageBody = z.infer<typeof MessagePageBody>;

export const MESSAGE_CURSOR = new Cursor<MessagesCursor>(z.int().min(1));

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const MessageListQuery = z.strictObject({
  status: MessageStatusValue.optional().meta({ description: 'Only messages with this status.' }),
  limit: pageLimit(1000),
  cursor: MESSAGE_CURSOR.parameter,
});
export type MessageListQuery = z.infer<typeof MessageListQuery>;

type PayloadLimits = Pick<MessagesSettings, 'MAX_PAYLOAD_BYTES' | 'MAX_PAYLOAD_DEPTH'>;

/** @throws Problem if the payload is too large or nests too deeply */
export function toNewMessage(
  clientId: string,
  body: SendMessageBody,
  { idempotencyKey, requestId }: Pick<NewMessage, 'idempotencyKey' | 'requestId'>,
  limits: PayloadLimits,
): NewMessage {
  return {
    clientId,
    directive: body.directive,
    payloadJson: payloadOf(body, limits),
    ttlMs: body.ttl_seconds * 1000,
    whenOffline: body.when_offline,
    responseTimeoutMs: body.response_timeout_seconds && body.response_timeout_seconds * 1000,
    idempotencyKey,
    requestId,
  };
}

/** `payload` is a `PayloadText`, since `readMessage` and `readBatch` read the bodies of requests. */
function payloadOf({ payload }: SendMessageBody, limits: PayloadLimits): string | undefined {
  if (payload === undefined) return undefined;
  if (!(payload instanceof PayloadText))
    throw new Error('the payload is not a PayloadText: read the body with readMessage or readBatch');
  const { MAX_PAYLOAD_BYTES: maxBytes, MAX_PAYLOAD_DEPTH: maxDepth } = limits;
  if (payload.depth > maxDepth) {
    const detail = `nests more than ${maxDepth} deep`;
    throw new Problem('invalid', `/payload: ${detail}`, { errors: [{ pointer: '/payload', detail }] });
  }
  if (Buffer.byteLength(payload.text) > maxBytes) {
    throw new Problem('too-large', `the payload is larger than ${maxBytes} bytes`);
  }
  return payload.text;
}

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
  const { responseDeadline, progress, answer } = message;
  return {
    message_id: message.messageId,
    client_id: message.clientId,
    directive: message.directive,
    status: message.status,
    created_at: iso(message.createdAt),
    expires_at: iso(message.expiresAt),
    response_deadline: responseDeadline === undefined ? null : iso(responseDeadline),
    progress: progress === undefined ? null : toProgress(progress),
    answer: answer === undefined ? null : toAnswer(answer),
    status_history: message.history.map(({ status, at, details }) => ({
      status,
      at: iso(at),
      details: details ?? null,
    })),
  };
}

function toProgress({ percent, details, at }: NonNullable<StoredMessage['progress']>): z.infer<typeof Progress> {
  return { percent: percent ?? null, details: details ?? null, at: iso(at) };
}

function toAnswer(answer: NonNullable<StoredMessage['answer']>): z.infer<typeof Answer> {
  const { payloadJson, messageId, receivedAt, late, omitted, size } = answer;
  return {
    payload: payloadJson === undefined ? null : new JsonText(payloadJson),
    message_id: messageId,
    received_at: iso(receivedAt),
    late,
    ...(omitted !== undefined && { omitted, size }),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
