/** Messages from clients to Cloud Connector (protocol, *Client → Cloud Connector*): schemas and their types. */
import { z } from 'zod';

export const PROTOCOL_VERSION = 1;

const messageId = z.string().min(1).max(128);

const envelope = {
  /** Set by the client; a UUID is expected, any string of 1 to 128 characters is accepted. */
  message_id: messageId,
  version: z.literal(PROTOCOL_VERSION),
  /** When the client wrote the message, RFC 3339 with offset. It never decides which of two messages is newer. */
  sent: z.iso.datetime({ offset: true }),
};

const FACT_NAMES = [
  'insights_id',
  'machine_id',
  'bios_uuid',
  'subscription_manager_id',
  'fqdn',
  'ip_addresses',
  'mac_addresses',
] as const;

/** Facts that distinguish one host from another. Unknown members are kept unchanged. */
export const CanonicalFacts = z
  .looseObject({
    insights_id: z.string().optional(),
    machine_id: z.string().optional(),
    bios_uuid: z.string().optional(),
    subscription_manager_id: z.string().optional(),
    fqdn: z.string().optional(),
    ip_addresses: z.array(z.string()).optional(),
    mac_addresses: z.array(z.string()).optional(),
  })
  .refine((facts) => FACT_NAMES.some((name) => facts[name] !== undefined), {
    error: `must have at least one of ${FACT_NAMES.join(', ')}`,
  });
export type CanonicalFacts = z.infer<typeof CanonicalFacts>;

/** The system that a proxy represents. Unknown members are kept unchanged. */
export const CatalogServiceFacts = z.looseObject({
  source_type: z.string().min(1),
  application_type: z.string().min(1),
});
export type CatalogServiceFacts = z.infer<typeof CatalogServiceFacts>;

export const HostHandshake = z.looseObject({
  ...envelope,
  type: z.literal('host-handshake'),
  payload: z.looseObject({ canonical_facts: CanonicalFacts }),
});
export type HostHandshake = z.infer<typeof HostHandshake>;

export const ProxyHandshake = z.looseObject({
  ...envelope,
  type: z.literal('proxy-handshake'),
  payload: z.looseObject({ catalog_service_facts: CatalogServiceFacts }),
});
export type ProxyHandshake = z.infer<typeof ProxyHandshake>;

export const Offline = z.looseObject({ ...envelope, type: z.literal('offline') });
export type Offline = z.infer<typeof Offline>;

export const MessageError = z.looseObject({
  ...envelope,
  type: z.literal('message-error'),
  /** `message_id` of the message that the client could not process. */
  in_response_to: messageId,
  payload: z.looseObject({ details: z.string() }),
});
export type MessageError = z.infer<typeof MessageError>;

/** The client has done what a message asked. Its `payload` is any JSON value; `payloadJsonOf` gives it as it was written. */
export const MessageResponse = z.looseObject({
  ...envelope,
  type: z.literal('message-response'),
  /** `message_id` of the message. */
  in_response_to: messageId,
  payload: z.unknown().optional(),
});
export type MessageResponse = z.infer<typeof MessageResponse>;

/** The client still works on a message. */
export const MessageProgress = z.looseObject({
  ...envelope,
  type: z.literal('message-progress'),
  /** `message_id` of the message. */
  in_response_to: messageId,
  payload: z
    .looseObject({ percent: z.number().min(0).max(100).optional(), details: z.string().optional() })
    .refine(({ percent, details }) => percent !== undefined || details !== undefined, {
      error: 'must have at least one of percent, details',
    }),
});
export type MessageProgress = z.infer<typeof MessageProgress>;

/** The client speaks first. Its `payload` is any JSON value; `payloadJsonOf` gives it as it was written. */
export const ClientMessage = z.looseObject({
  ...envelope,
  type: z.literal('message'),
  directive: z.string().min(1).max(256),
  payload: z.unknown().optional(),
  /** `message_id` of the message that it is about, if there is one. */
  in_response_to: messageId.optional(),
});
export type ClientMessage = z.infer<typeof ClientMessage>;

/** What a client says that carries no state. */
export type Talk = MessageError | MessageResponse | MessageProgress | ClientMessage;

export type Inbound = HostHandshake | ProxyHandshake | Offline | Talk;

export const INBOUND_SCHEMAS = {
  'host-handshake': HostHandshake,
  'proxy-handshake': ProxyHandshake,
  offline: Offline,
  'message-error': MessageError,
  'message-response': MessageResponse,
  'message-progress': MessageProgress,
  message: ClientMessage,
} as const satisfies Record<Inbound['type'], z.ZodType<Inbound>>;
