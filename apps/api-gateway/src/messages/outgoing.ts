/** Translates a request into the message that is stored, and a refusal of the registry into a problem. */
import type { NewMessage } from '@app/registry';
import { Problem, unknownConnection } from '../http/problem.js';
import type { SendOutcome } from './message-sender.js';
import type { SendMessageBody } from './message.dto.js';
import type { MessagesSettings } from './messages.settings.js';
import { PayloadText } from './payload-text.js';

type Limits = Pick<
  MessagesSettings,
  'MAX_PAYLOAD_BYTES' | 'MAX_PAYLOAD_DEPTH' | 'OUTBOX_LIMIT' | 'OUTBOX_BYTES' | 'SHARD_OUTBOX_LIMIT'
>;

/** @throws Problem if the payload is too large or nests too deeply */
export function toNewMessage(
  clientId: string,
  body: SendMessageBody,
  { idempotencyKey, requestId }: Pick<NewMessage, 'idempotencyKey' | 'requestId'>,
  limits: Limits,
): NewMessage {
  return {
    clientId,
    directive: body.directive,
    payloadJson: payloadOf(body, limits),
    ttlMs: body.ttl_seconds * 1000,
    whenOffline: body.when_offline,
    idempotencyKey,
    requestId,
  };
}

/** `payload` is `PayloadText` if the body came through `readMessage` or `readBatch`, as all bodies of requests do. */
function payloadOf({ payload }: SendMessageBody, limits: Limits): string | undefined {
  if (payload === undefined) return undefined;
  if (!(payload instanceof PayloadText))
    throw new Error('the payload lost its text: read the body with readMessage or readBatch');
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

/** Why a message was not accepted. */
export function refusal(
  clientId: string,
  outcome: Exclude<SendOutcome, { kind: 'accepted' }>,
  { OUTBOX_LIMIT, OUTBOX_BYTES, SHARD_OUTBOX_LIMIT }: Limits,
): Problem {
  switch (outcome.kind) {
    case 'unknown':
      return unknownConnection(clientId);
    case 'building':
      return new Problem(
        'unavailable',
        `"${clientId}" is not known yet; the registry is still being built by its first sweep, and nothing was stored`,
        { retryAfterSeconds: 5 },
      );
    case 'offline':
      return new Problem(
        'client-offline',
        `"${clientId}" is offline; send with when_offline "hold" to keep the message`,
      );
    case 'full':
      return new Problem(
        'outbox-full',
        `"${clientId}" has ${OUTBOX_LIMIT} unfinished messages or ${OUTBOX_BYTES} bytes of them; wait until some are sent or expire`,
        { retryAfterSeconds: 10 },
      );
    case 'shard-full':
      return new Problem(
        'shard-full',
        `the clients that share a shard with "${clientId}" have ${SHARD_OUTBOX_LIMIT} unfinished messages, ` +
          'or as many bytes of them as the shard may take; wait until some are sent or expire',
        { retryAfterSeconds: 10 },
      );
    case 'account-full':
      return new Problem(
        'account-full',
        'the unfinished messages of this account or key take as many bytes as they may, or half of those of the ' +
          `shard of "${clientId}"; wait until some are sent or expire`,
        { retryAfterSeconds: 10 },
      );
    case 'storage-full':
      return new Problem('storage-full', 'nothing was stored; new messages are taken again when Redis has room', {
        retryAfterSeconds: 10,
      });
    case 'mismatch':
      return new Problem('idempotency-mismatch', 'use a new Idempotency-Key for another message');
    case 'unreachable':
      return new Problem(
        'unavailable',
        'the registry cannot be reached, and whether the message was stored is not known. ' +
          'Repeat the request with its Idempotency-Key; without one it may be sent twice',
        { retryAfterSeconds: 1 },
      );
  }
}
