/** Messages of one client and parts of outcomes, for the specs of the status ingester's `transition`. */
import { HandshakeError } from '@app/protocol';
import {
  encodeHandshakeError,
  type Answer,
  type Command,
  type CommandOutcome,
  type Connection,
  type DeadLetter,
  type MailboxMessage,
  type Note,
  type RegistryEvent,
  type ToDo,
} from '@app/registry';
import type { Effect, Rules, Transition } from '../../apps/status-ingester/src/rules/effect.js';
import { transition } from '../../apps/status-ingester/src/rules/transition.js';

export const CLIENT = 'host-1';
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
export const IN = 'redhat/insights/in/{clientId}';
export const STATUS = 'redhat/insights/status/{clientId}';
export const OTHER_STATUS = 'redhat/insights/host/status/{clientId}';
export const T0 = Date.parse('2024-05-06T07:00:00Z');
export const SECOND = 1000;
export const RETENTION = 90 * 86_400_000;
export const REPLY = { channel: 'gateway-1', id: 'call-1' };

/** One topic for all messages: the default. */
export const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: false,
  connectionRetentionMs: RETENTION,
  maxInboundBytes: 262_144,
  eventSettleMs: 0,
  lanes: 1,
};
/** A separate topic for the connection state. */
export const SPLIT: Rules = { ...RULES, statusTopics: [STATUS] };
/** Both topics, while clients move from one to the other. */
export const MOVING: Rules = { ...RULES, statusTopics: [IN, STATUS] };

export type PacketMessage = Extract<MailboxMessage, { kind: 'packet' }>;
export type PacketOverrides = Partial<PacketMessage>;

export const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };

export function packet(body: unknown, overrides: PacketOverrides = {}): PacketMessage {
  return {
    kind: 'packet',
    clientId: CLIENT,
    lane: 0,
    topic: IN,
    retain: true,
    dup: false,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    at: T0,
    id: '1-1',
    ...overrides,
  };
}

export function host(id: string, overrides: PacketOverrides = {}, facts: object = { fqdn: 'host-1' }): PacketMessage {
  return packet(
    { ...ENVELOPE, type: 'host-handshake', message_id: id, payload: { canonical_facts: facts } },
    overrides,
  );
}

export function proxy(id: string, overrides: PacketOverrides = {}): PacketMessage {
  const facts = { source_type: 'tower', application_type: 'catalog' };
  return packet(
    { ...ENVELOPE, type: 'proxy-handshake', message_id: id, payload: { catalog_service_facts: facts } },
    overrides,
  );
}

export function invalidHandshake(id: string, overrides: PacketOverrides = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload: {} }, overrides);
}

export function offline(id: string, overrides: PacketOverrides = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'offline', message_id: id }, overrides);
}

export function goodbye(id: string, overrides: PacketOverrides = {}): PacketMessage {
  return offline(id, { retain: false, ...overrides });
}

export function messageError(id: string, overrides: PacketOverrides = {}): PacketMessage {
  return packet(
    { ...ENVELOPE, type: 'message-error', message_id: id, in_response_to: 'sent-1', payload: { details: 'no disk' } },
    { retain: false, ...overrides },
  );
}

export function messageResponse(id: string, overrides: PacketOverrides = {}, more: object = {}): PacketMessage {
  const about = { type: 'message-response', message_id: id, in_response_to: 'sent-1', payload: { pong: 1 } };
  return packet({ ...ENVELOPE, ...about, ...more }, { retain: false, ...overrides });
}

export function messageProgress(id: string, payload: object, overrides: PacketOverrides = {}): PacketMessage {
  const about = { type: 'message-progress', message_id: id, in_response_to: 'sent-1', payload };
  return packet({ ...ENVELOPE, ...about }, { retain: false, ...overrides });
}

export function command(wanted: Command, at = T0): Extract<MailboxMessage, { kind: 'command' }> {
  return { kind: 'command', clientId: CLIENT, command: wanted, reply: REPLY, at, id: '1-1' };
}

/** Applies messages one after the other. @returns the last connection and the effects of all messages */
export function play(rules: Rules, start: Connection | undefined, ...messages: MailboxMessage[]): Transition {
  let connection = start;
  const effects: Effect[] = [];
  for (const message of messages) {
    const after = transition(connection, message, rules);
    connection = after.connection;
    effects.push(...after.effects);
  }
  return { connection, effects };
}

export function online(rules: Rules = RULES, topic = IN): Connection {
  return known(play(rules, undefined, host('h-1', { topic })).connection);
}

export function known(connection: Connection | undefined): Connection {
  if (connection === undefined) throw new Error('the client is unknown');
  return connection;
}

/** The connection without the ids of messages that it remembers. */
export function withoutIds(connection: Connection | undefined): Connection | undefined {
  const rest = connection && { ...connection };
  delete rest?.applied_messages;
  return rest;
}

export function eventsOf({ effects }: Transition): RegistryEvent[] {
  return effects.flatMap((effect) => (effect.kind === 'event' ? [effect.event] : []));
}

export function lettersOf({ effects }: Transition): DeadLetter[] {
  return effects.flatMap((effect) => (effect.kind === 'dead-letter' ? [effect.letter] : []));
}

export function todosOf({ effects }: Transition): ToDo[] {
  return effects.flatMap((effect) => (effect.kind === 'to-do' ? [effect.todo] : []));
}

/** The client's answers to messages. */
export function notesOf({ effects }: Transition): Note[] {
  return effects.flatMap((effect) => (effect.kind === 'note' ? [effect.note] : []));
}

export function reportedAnswersOf({ effects }: Transition): Answer[] {
  return effects.flatMap((effect) => (effect.kind === 'answer' ? [effect.answer] : []));
}

export function answersOf(outcome: Transition): unknown[] {
  return outcome.effects.flatMap((effect): unknown[] => {
    if (effect.kind === 'to-do' && effect.todo.do === 'reply') return [effect.todo.reply];
    if (effect.kind !== 'refuse') return [];
    const sent: unknown = JSON.parse(encodeHandshakeError({ ...effect, clientId: CLIENT, messageId: 'answer' }));
    const { type, in_response_to, payload } = HandshakeError.parse(sent);
    return [{ type, in_response_to, payload }];
  });
}

export function repliesOf({ effects }: Transition): CommandOutcome[] {
  return effects.flatMap((effect) => (effect.kind === 'reply' ? [effect.outcome] : []));
}
