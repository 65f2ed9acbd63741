/**
 * What the registry has to hold for a client, given what the broker retains for it (docs/reconciliation.md). Pure.
 */
import {
  parseInbound,
  type HostHandshake,
  type MessageError,
  type ProxyHandshake,
  type Refusal,
  type ParseOutcome,
  type RefusedUntil,
} from '@app/protocol';
import type { OfflineReason } from '@app/registry';

export type Handshake = HostHandshake | ProxyHandshake;

export type Truth =
  | { state: 'online'; handshake: Handshake }
  | { state: 'offline'; reason: OfflineReason; refusal?: Refusal; messageError?: MessageError };

/**
 * @param retained the text of the retained message, undefined for none
 * @param refusedUntil end of the refusal that a force-disconnect has set
 * @param at epoch milliseconds, to be compared with the end of the refusal
 * @param refusedHandshake id of a retained handshake that was refused, and has not been sent again since
 * @param unconfirmedHandshake id of a retained handshake whose client did not come back after a restart of the broker
 */
export function truth(
  retained: string | undefined,
  refusedUntil: RefusedUntil | null,
  at: number,
  refusedHandshake: string | null = null,
  unconfirmedHandshake: string | null = null,
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
      return {
        state: 'offline',
        reason: 'unknown',
        messageError: message,
        refusal: {
          reason: 'wrong-shape',
          details: 'a message-error must not be retained: it took the place of the handshake',
          messageId: message.message_id,
          handshake: false,
        },
      };
    case 'host-handshake':
    case 'proxy-handshake':
      if (refuses(refusedUntil, at)) {
        const refusal: Refusal = {
          reason: 'refused-until',
          details: refusalDetails(refusedUntil, at),
          messageId: message.message_id,
          handshake: true,
        };
        return { state: 'offline', reason: 'refused', refusal };
      }
      if (message.message_id === refusedHandshake) return { state: 'offline', reason: 'refused' };
      if (message.message_id === unconfirmedHandshake) return { state: 'offline', reason: 'unconfirmed' };
      return { state: 'online', handshake: message };
  }
}

// A retained message is parsed several times in a row while it is applied.
let lastParsed: { text: string; outcome: ParseOutcome } | undefined;

function parseOnce(text: string): ParseOutcome {
  if (lastParsed?.text !== text) lastParsed = { text, outcome: parseInbound(text) };
  return lastParsed.outcome;
}

export function refuses(refusedUntil: RefusedUntil | null, at: number): refusedUntil is RefusedUntil {
  return refusedUntil === 'never' || (refusedUntil !== null && refusedUntil > at);
}

function refusalDetails(refusedUntil: RefusedUntil, at: number): string {
  if (refusedUntil === 'never') return 'this client was disconnected until an operator lets it in again';
  const seconds = Math.ceil((refusedUntil - at) / 1000);
  return `this client was disconnected and may come back in ${seconds} s, at ${new Date(refusedUntil).toISOString()}`;
}
