/**
 * What the registry has to hold for a client, given what the broker retains for it (docs/reconciliation.md). Pure.
 */
import {
  parseInbound,
  type HostHandshake,
  type ProxyHandshake,
  type Refusal,
  type Talk,
  type ParseOutcome,
  type RefusedUntil,
} from '@app/protocol';
import type { Connection, OfflineReason } from '@app/registry';
import type { Source } from './effect.js';

export type Handshake = HostHandshake | ProxyHandshake;

export type Truth =
  | { state: 'online'; handshake: Handshake }
  | { state: 'offline'; reason: OfflineReason; refusal?: Refusal; talk?: Talk };

/** What the decision takes from the registry's record of the client. */
export type Recorded = Pick<
  Connection,
  'state' | 'offline_reason' | 'handshake_message_id' | 'refused_until' | 'refused_handshake' | 'unconfirmed_handshake'
>;

/**
 * @param retained the text of the retained message, undefined for none
 * @param recorded undefined for an unknown client
 * @param at epoch milliseconds, to be compared with the end of the refusal
 * @param source a handshake that was refused, or not confirmed, counts again if the client sends it again
 */
export function truth(
  retained: string | undefined,
  recorded: Recorded | undefined,
  at: number,
  source: Source = 'read-back',
): Truth {
  if (retained === undefined || retained === '') return { state: 'offline', reason: 'handshake-removed' };
  const parsed = parseOnce(retained);
  if (!parsed.ok) {
    return {
      state: 'offline',
      reason: parsed.refusal.handshake ? 'invalid-handshake' : 'unknown',
      refusal: parsed.refusal,
    };
  }
  const { message } = parsed;
  switch (message.type) {
    case 'offline':
      return { state: 'offline', reason: 'retained-offline' };
    case 'message-error':
    case 'message-response':
    case 'message-progress':
    case 'message':
      return {
        state: 'offline',
        reason: 'unknown',
        talk: message,
        refusal: {
          reason: 'wrong-shape',
          details: `a ${message.type} must not be retained: it took the place of the handshake`,
          messageId: message.message_id,
          handshake: false,
        },
      };
    case 'host-handshake':
    case 'proxy-handshake':
      if (recorded === undefined) return { state: 'online', handshake: message };
      if (refuses(recorded.refused_until, at)) {
        if (!isRecordedHandshake(message, recorded) || cameBack(recorded, source)) {
          const refusal: Refusal = {
            reason: 'refused-until',
            details: refusalDetails(recorded.refused_until, at),
            retryAfter: retryAfter(recorded.refused_until, at),
            messageId: message.message_id,
            handshake: true,
          };
          return { state: 'offline', reason: 'refused', refusal };
        }
        // The client left as it should. The handshake that it forgot to remove does not bring it back.
        if (recorded.offline_reason === 'goodbye' && source === 'read-back') {
          return { state: 'offline', reason: 'goodbye' };
        }
      }
      if (source === 'read-back') {
        if (message.message_id === recorded.refused_handshake) return { state: 'offline', reason: 'refused' };
        if (message.message_id === recorded.unconfirmed_handshake) return { state: 'offline', reason: 'unconfirmed' };
      }
      return { state: 'online', handshake: message };
  }
}

// A retained message is parsed several times in a row while it is applied.
let lastParsed: { text: string; outcome: ParseOutcome } | undefined;

function parseOnce(text: string): ParseOutcome {
  if (lastParsed?.text !== text) lastParsed = { text, outcome: parseInbound(text) };
  return lastParsed.outcome;
}

/**
 * Whether it is the handshake that was recorded when the force-disconnect was stored: in its window no other handshake is
 * accepted, so the connection still has that one.
 */
function isRecordedHandshake({ message_id }: Handshake, recorded: Recorded): boolean {
  return message_id === recorded.handshake_message_id && message_id !== recorded.refused_handshake;
}

/** A client that is offline and sends its handshake again is back. A redelivery, or a reading, does not say so. */
function cameBack({ state }: Recorded, source: Source): boolean {
  return state === 'offline' && source === 'live';
}

export function refuses(refusedUntil: RefusedUntil | null, at: number): refusedUntil is RefusedUntil {
  return refusedUntil === 'never' || (refusedUntil !== null && refusedUntil > at);
}

function retryAfter(refusedUntil: RefusedUntil, at: number): string {
  return refusedUntil === 'never' ? 'never' : `PT${Math.ceil((refusedUntil - at) / 1000)}S`;
}

function refusalDetails(refusedUntil: RefusedUntil, at: number): string {
  if (refusedUntil === 'never') return 'this client was disconnected until an operator lets it in again';
  const seconds = Math.ceil((refusedUntil - at) / 1000);
  return `this client was disconnected and may come back in ${seconds} s, at ${new Date(refusedUntil).toISOString()}`;
}
