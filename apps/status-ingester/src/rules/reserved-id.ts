/**
 * Clients with a reserved id, which no HTTP client could address: their handshakes are refused, and they have no connection.
 * A connection that an older release accepted is removed with the next message or command for it. Pure.
 */
import { RESERVED_CLIENT_IDS, parseInbound, type Refusal } from '@app/protocol';
import type { Connection, MailboxMessage } from '@app/registry';
import type { Effect, Rules, StatusMessage, Transition } from './effect.js';
import { deadLetter } from './retained-state.js';

export function applyReserved(connection: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  const effects = connection === undefined ? [] : removalEffects(connection);
  switch (message.kind) {
    case 'packet':
      if (message.refused === undefined) effects.push(...refusalEffects(message, rules));
      break;
    case 'verified': {
      const { clientId, retained, at } = message;
      for (const { topic, body, refused } of retained) {
        if (refused === undefined) effects.push(...refusalEffects({ clientId, topic, body, at }, rules));
      }
      const change = connection?.state === 'online' ? 'offline' : 'none';
      effects.push({ kind: 'undo', todo: { do: 'verify', client_id: clientId } });
      effects.push({ kind: 'verified', change, answer: { kind: 'unknown' } });
      break;
    }
    case 'command': {
      const { clientId, command, reply } = message;
      if (command.do === 'forget' || command.do === 'flush') {
        effects.push({ kind: 'undo', todo: { do: command.do, client_id: clientId } });
      }
      if (reply !== undefined) effects.push({ kind: 'reply', reply, outcome: { kind: 'unknown' } });
    }
  }
  return { connection: undefined, effects };
}

function removalEffects({ client_id, state }: Connection): Effect[] {
  const undone: Effect[] = (['forget', 'account', 'flush', 'confirm'] as const).map((kind) => ({
    kind: 'undo',
    todo: { do: kind, client_id },
  }));
  if (state === 'offline') return undone;
  return [{ kind: 'event', event: { type: 'connection.offline', client_id, reason: 'invalid-handshake' } }, ...undone];
}

/** A handshake is refused; any other message of such a client is ignored. */
function refusalEffects(message: StatusMessage, rules: Rules): Effect[] {
  const parsed = parseInbound(message.body);
  const isHandshake = parsed.ok ? parsed.message.type.endsWith('-handshake') : parsed.refusal.handshake;
  if (!isHandshake) return [];
  const refusal: Refusal = {
    reason: 'reserved-id',
    details: `the client id must not be ${RESERVED_CLIENT_IDS.map((id) => `"${id}"`).join(', ')}: connect with another one`,
    messageId: parsed.ok ? parsed.message.message_id : parsed.refusal.messageId,
    handshake: true,
    retryAfter: 'never',
  };
  return deadLetter(undefined, message, refusal, rules).effects;
}
