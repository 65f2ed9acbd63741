/** Messages from Cloud Connector to clients (protocol, *Cloud Connector → client*): schemas, types and encoding. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { PROTOCOL_VERSION } from './inbound.js';

const envelope = {
  message_id: z.string().min(1).max(128),
  version: z.literal(PROTOCOL_VERSION),
  sent: z.iso.datetime({ offset: true }),
};

/** Carries an application's directive and payload. */
export const Message = z.object({
  ...envelope,
  type: z.literal('message'),
  /** When its time to live ends. The client remembers its id until 10 minutes after that. */
  expires: z.iso.datetime({ offset: true }),
  directive: z.string().min(1).max(256),
  payload: z.json().optional(),
});
export type Message = z.infer<typeof Message>;

/** A handshake was refused: the client disconnects, and sends a new one later. */
export const HandshakeError = z.object({
  ...envelope,
  type: z.literal('handshake-error'),
  /** `message_id` of the refused message, or null if it could not be read. */
  in_response_to: z.string().nullable(),
  payload: z.object({
    details: z.string(),
    /** That of the dead letter. Absent if release 0.1.0 has refused the handshake. */
    reason: z.string().optional(),
    /** ISO 8601 duration from now on, or `never`. Absent: with back-off. */
    retry_after: z.string().optional(),
  }),
});
export type HandshakeError = z.infer<typeof HandshakeError>;

/** A live handshake was accepted; only with `HANDSHAKE_RESPONSE=live`. */
export const HandshakeResponse = z.object({
  ...envelope,
  type: z.literal('handshake-response'),
  in_response_to: z.string(),
});
export type HandshakeResponse = z.infer<typeof HandshakeResponse>;

/** The client must disconnect, and may connect again at `reconnect_after`. */
export const ForceDisconnect = z.object({
  ...envelope,
  type: z.literal('force-disconnect'),
  payload: z.object({ reconnect_after: z.string() }),
});
export type ForceDisconnect = z.infer<typeof ForceDisconnect>;

export type Outbound = Message | HandshakeError | HandshakeResponse | ForceDisconnect;

const ENVELOPE_MEMBERS = { message_id: true, version: true, sent: true } as const;

/** A reply to a client, without the members that every envelope has. */
export const ReplyBody = z.discriminatedUnion('type', [
  HandshakeError.omit(ENVELOPE_MEMBERS),
  HandshakeResponse.omit(ENVELOPE_MEMBERS),
  ForceDisconnect.omit(ENVELOPE_MEMBERS),
]);
export type ReplyBody = z.infer<typeof ReplyBody>;

/** Adds the members of the envelope to a reply, and encodes it. */
export function encodeReply(body: ReplyBody, messageId: string = randomUUID(), at: Date = new Date()): string {
  return JSON.stringify({ ...body, message_id: messageId, version: PROTOCOL_VERSION, sent: at.toISOString() });
}

export interface EncodedMessage {
  messageId: string;
  directive: string;
  /** The stored JSON text: it is sent unchanged, without being parsed again. Undefined for none. */
  payloadJson: string | undefined;
  /** Epoch milliseconds. */
  expiresAt: number;
}

/** Encodes a `message`. */
export function encodeMessage({ messageId, directive, payloadJson, expiresAt }: EncodedMessage, at: Date): string {
  const payload = payloadJson === undefined ? '' : `,"payload":${payloadJson}`;
  return (
    `{"type":"message","message_id":${JSON.stringify(messageId)},"version":${PROTOCOL_VERSION},` +
    `"sent":"${at.toISOString()}","expires":"${new Date(expiresAt).toISOString()}",` +
    `"directive":${JSON.stringify(directive)}${payload}}`
  );
}
