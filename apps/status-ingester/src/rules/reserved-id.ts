/**
 * Clients whose id is reserved, since no HTTP client could address them: their handshakes are refused, and they have no
 * connection. One that an older release let in is removed by the next thing that comes for it. Pure.
 */
import { RESERVED_CLIENT_IDS, parseInbound, type Refusal } from '@app/protocol';
import type { Connection, MailboxMessage } from '@app/registry';
import type { Effect, Rules, StatusMessage, Transition } from './effect.js';
import { deadLetter } from './retained-state.js';

export function applyReserved(connection: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  const effects = connection === undefined ? [] : removal(connection);
  switch (message.kind) {
    case 'packet':
      if (message.refused === undefined) effects.push(...refusals(message, rules));
      break;
    case 'verified': {
      const { clientId, retained, at } = message;
      for (const { topic, body, refused } of retained) {
        if (refused === undefined) effects.push(...refusals({ clientId, topic, body, at }, rules));
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

function removal({ client_id, state }: Connection): Effect[] {
  const gone: Effect[] = (['forget', 'account', 'flush', 'confirm'] as const).map((kind) => ({
    kind: 'undo',
    todo: { do: kind, client_id },
  }));
  if (state === 'offline') return gone;
  return [{ kind: 'event', event: { type: 'connection.offline', client_id, reason: 'invalid-handshake' } }, ...gone];
}

/** A handshake is answered; anything else of such a client says nothing that counts. */
function refusals(message: StatusMessage, rules: Rules): Effect[] {
  const parsed = parseInbound(message.body);
  const isHandshake = parsed.ok ? parsed.message.type.endsWith('-handshake') : parsed.refusal.handshake;
  if (!isHandshake) return [];
  const refusal: Refusal = {
    reason: 'reserved-id',
    details: `the client id must not be ${RESERVED_CLIENT_IDS.map((id) => `"${id}"`).join(', ')}: connect with another one`,
    messageId: parsed.ok ? parsed.message.message_id : parsed.refusal.messageId,
    handshake: true,
  };
  return deadLetter(undefined, message, refusal, rules).effects;
}
