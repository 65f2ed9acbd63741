/** Messages as the REST API takes and shows them. */
import { MESSAGE_STATUSES, type AcceptedMessage, type StoredMessage } from '@app/registry';
import { z } from 'zod';

const time = z.iso.datetime();

export const SendMessageBody = z
  .strictObject({
    directive: z
      .string()
      .min(1)
      .max(256)
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
  })
  .meta({ id: 'SendMessage' });
export type SendMessageBody = z.infer<typeof SendMessageBody>;

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
