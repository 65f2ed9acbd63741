/** Messages of clients, and batches of them, for the specs of the status ingester's `fold`. */
import type { Command, Connection, MailboxMessage, Packet } from '@app/registry';
import type { Rules } from '../../apps/status-ingester/src/rules/effect.js';
import { fold, type Folded } from '../../apps/status-ingester/src/shard/fold.js';
import { IN, RETENTION, STATUS, T0, packet as packetOf } from './transitions.js';

export { IN, RETENTION, STATUS, T0 };

export const RULES: Rules = {
  statusTopics: [IN, STATUS],
  inTopic: IN,
  respond: true,
  connectionRetentionMs: RETENTION,
  maxInboundBytes: 262_144,
  eventSettleMs: 0,
  lanes: 1,
};

export const ENVELOPE = { message_id: 'm-1', version: 1, sent: '2020-12-04T17:22:24+00:00' };
export const OFFLINE = { ...ENVELOPE, type: 'offline' };

export function packet(
  clientId: string,
  body: unknown,
  overrides: Partial<Packet & { at: number }> = {},
): MailboxMessage {
  return packetOf(body, { clientId, ...overrides });
}

export function handshake(
  clientId: string,
  id = 'm-1',
  overrides: Partial<Packet & { at: number }> = {},
): MailboxMessage {
  const payload = { canonical_facts: { fqdn: `${clientId} ${id}` } };
  return packet(clientId, { ...ENVELOPE, type: 'host-handshake', message_id: id, payload }, overrides);
}

export function command(clientId: string, wanted: Command, at = T0): MailboxMessage {
  return {
    kind: 'command',
    clientId,
    command: wanted,
    reply: { channel: 'gateway-1', id: `${clientId} ${at}` },
    at,
    id: '1-1',
  };
}

export function response(id: string): object {
  return { type: 'handshake-response', in_response_to: id };
}

/** A packet whose transition throws. */
export function faulty(clientId: string, body: string): MailboxMessage {
  return Object.defineProperty(packet(clientId, body), 'retain', {
    get: () => {
      throw new Error('a fault of ours');
    },
  });
}

/** Returns numbered ids. */
export function counter(): () => string {
  let last = 0;
  return () => `id-${++last}`;
}

export function foldAll(
  messages: readonly MailboxMessage[],
  stored = new Map<string, Connection | undefined>(),
): Folded {
  return fold(messages, stored, RULES, counter());
}

export function storedAfter(...messages: MailboxMessage[]): Map<string, Connection | undefined> {
  return new Map(Array.from(foldAll(messages).connections, ([id, { after }]) => [id, after]));
}
