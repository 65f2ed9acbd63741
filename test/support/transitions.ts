/** What the specs of the status ingester's `transition` are written with: the messages of one client, and readings of outcomes. */
import type {
  Command,
  CommandOutcome,
  Connection,
  DeadLetter,
  MailboxMessage,
  RegistryEvent,
  ToDo,
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

/** One topic for everything: the default. */
export const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: false,
  connectionRetentionMs: RETENTION,
  maxInboundBytes: 262_144,
  eventSettleMs: 0,
  lanes: 1,
};
/** Connection state on a topic of its own. */
export const SPLIT: Rules = { ...RULES, statusTopics: [STATUS] };
/** On the move from one to the other. */
export const MOVING: Rules = { ...RULES, statusTopics: [IN, STATUS] };

export type PacketMessage = Extract<MailboxMessage, { kind: 'packet' }>;
export type Given = Partial<PacketMessage>;

export const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };

export function packet(body: unknown, given: Given = {}): PacketMessage {
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
    ...given,
  };
}

export function host(id: string, given: Given = {}, facts: object = { fqdn: 'host-1' }): PacketMessage {
  return packet({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload: { canonical_facts: facts } }, given);
}

export function proxy(id: string, given: Given = {}): PacketMessage {
  const facts = { source_type: 'tower', application_type: 'catalog' };
  return packet(
    { ...ENVELOPE, type: 'proxy-handshake', message_id: id, payload: { catalog_service_facts: facts } },
    given,
  );
}

export function invalidHandshake(id: string, given: Given = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload: {} }, given);
}

export function offline(id: string, given: Given = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'offline', message_id: id }, given);
}

export function goodbye(id: string, given: Given = {}): PacketMessage {
  return offline(id, { retain: false, ...given });
}

export function messageError(id: string, given: Given = {}): PacketMessage {
  return packet(
    { ...ENVELOPE, type: 'message-error', message_id: id, in_response_to: 'sent-1', payload: { details: 'no disk' } },
    { retain: false, ...given },
  );
}

export function command(given: Command, at = T0): Extract<MailboxMessage, { kind: 'command' }> {
  return { kind: 'command', clientId: CLIENT, command: given, reply: REPLY, at, id: '1-1' };
}

/** Applies messages one after the other; the effects are those of all of them. */
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
  if (connection === undefined) throw new Error('the client is not known');
  return connection;
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

export function answersOf(outcome: Transition): unknown[] {
  return outcome.effects.flatMap((effect): unknown[] => {
    if (effect.kind === 'to-do' && effect.todo.do === 'reply') return [effect.todo.reply];
    if (effect.kind !== 'refuse') return [];
    const { inResponseTo, details } = effect;
    return [{ type: 'handshake-error', in_response_to: inResponseTo, payload: { details } }];
  });
}

export function repliesOf({ effects }: Transition): CommandOutcome[] {
  return effects.flatMap((effect) => (effect.kind === 'reply' ? [effect.outcome] : []));
}
