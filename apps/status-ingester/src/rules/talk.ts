/** What a client says that carries no state: answers to messages, their progress, and messages of its own. Pure. */
import { payloadJsonOf, type ClientMessage, type Refusal, type Talk } from '@app/protocol';
import { truncateDetails, type Connection } from '@app/registry';
import type { Effect, EventEffect, StatusMessage } from './effect.js';
import { refuses } from './truth.js';

/** Why what the client says does not count; undefined if it counts. */
export function talkRefusal(connection: Connection | undefined, talk: Talk, at: number): Refusal | undefined {
  if (talk.type !== 'message' || isConnected(connection, at)) return undefined;
  return {
    reason: 'not-connected',
    details:
      'this client is not registered, or it is refused: only a client whose handshake was accepted can send messages',
    messageId: talk.message_id,
    handshake: false,
  };
}

export function talkEffect(message: StatusMessage, talk: Talk): Effect {
  if (talk.type === 'message') return messageEvent(message, talk);
  const about = { inResponseTo: talk.in_response_to, messageId: talk.message_id };
  switch (talk.type) {
    case 'message-error': {
      const details = truncateDetails(talk.payload.details);
      return { kind: 'answer', answer: { type: talk.type, ...about, details } };
    }
    case 'message-response': {
      const payloadJson = payloadJsonOf(message.body);
      const answer = { type: talk.type, ...about, ...(payloadJson !== undefined && { payloadJson }) };
      return { kind: 'answer', answer };
    }
    case 'message-progress': {
      const { percent, details } = talk.payload;
      const progress = {
        ...about,
        ...(percent !== undefined && { percent }),
        ...(details !== undefined && { details: truncateDetails(details) }),
      };
      return { kind: 'progress', progress };
    }
  }
}

/** It may be offline: it has shaken hands, and is not refused. */
function isConnected(connection: Connection | undefined, at: number): boolean {
  if (connection === undefined || connection.state === 'online') return connection !== undefined;
  return connection.offline_reason !== 'refused' && !refuses(connection.refused_until, at);
}

/** A client speaks first: the event is for whoever listens for it. */
function messageEvent({ clientId, body }: StatusMessage, message: ClientMessage): EventEffect {
  const { message_id, directive, in_response_to } = message;
  const payload = payloadJsonOf(body);
  return {
    kind: 'event',
    event: {
      type: 'client.message',
      client_id: clientId,
      message_id,
      directive,
      ...(in_response_to !== undefined && { in_response_to }),
      ...(payload !== undefined && { payload_json: payload }),
    },
  };
}
