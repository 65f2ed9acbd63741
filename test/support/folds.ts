/** What the specs of the status ingester's `fold` are written with: messages of clients, and batches of them. */
import type { Command, Connection, MailboxMessage, Packet } from '@app/registry';
import type { Rules } from '../../apps/status-ingester/src/rules/effect.js';
import { fold, type Folded } from '../../apps/status-ingester/src/shard/fold.js';

export const IN = 'redhat/insights/in/{clientId}';
export const STATUS = 'redhat/insights/status/{clientId}';
export const T0 = Date.parse('2024-05-06T07:00:00Z');
export const RETENTION = 90 * 86_400_000;
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

export function packet(clientId: string, body: unknown, given: Partial<Packet & { at: number }> = {}): MailboxMessage {
  return {
    kind: 'packet',
    clientId,
    lane: 0,
    topic: IN,
    retain: true,
    dup: false,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    at: T0,
    id: '1-1',
    ...given,
  };
}

export function handshake(clientId: string, id = 'm-1', given: Partial<Packet & { at: number }> = {}): MailboxMessage {
  const payload = { canonical_facts: { fqdn: `${clientId} ${id}` } };
  return packet(clientId, { ...ENVELOPE, type: 'host-handshake', message_id: id, payload }, given);
}

export function command(clientId: string, given: Command, at = T0): MailboxMessage {
  return {
    kind: 'command',
    clientId,
    command: given,
    reply: { channel: 'gateway-1', id: `${clientId} ${at}` },
    at,
    id: '1-1',
  };
}

export function response(id: string): object {
  return { type: 'handshake-response', in_response_to: id };
}

/** A packet that no transition survives. */
export function faulty(clientId: string, body: string): MailboxMessage {
  return Object.defineProperty(packet(clientId, body), 'retain', {
    get: () => {
      throw new Error('a fault of ours');
    },
  });
}

/** Ids that count how many were minted before. */
export function counter(): () => string {
  let minted = 0;
  return () => `id-${++minted}`;
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
