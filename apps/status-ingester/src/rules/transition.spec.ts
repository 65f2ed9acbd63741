import fc from 'fast-check';
import {
  THROTTLE_WINDOW_MS,
  type Command,
  type CommandOutcome,
  type Connection,
  type DeadLetter,
  type MailboxMessage,
  type RegistryEvent,
  type ToDo,
} from '@app/registry';
import { transition, type Effect, type Rules, type Transition } from './transition.js';
import { truth } from './truth.js';

const CLIENT = 'host-1';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const IN = 'redhat/insights/in/{clientId}';
const STATUS = 'redhat/insights/status/{clientId}';
const OTHER_STATUS = 'redhat/insights/host/status/{clientId}';
const T0 = Date.parse('2024-05-06T07:00:00Z');
const SECOND = 1000;
const RETENTION = 90 * 86_400_000;
const REPLY = { channel: 'gateway-1', id: 'call-1' };

/** One topic for everything: the default. */
const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: false,
  connectionRetentionMs: RETENTION,
  maxInboundBytes: 262_144,
  eventSettleMs: 0,
  lanes: 1,
};
/** Connection state on a topic of its own. */
const SPLIT: Rules = { ...RULES, statusTopics: [STATUS] };
/** On the move from one to the other. */
const MOVING: Rules = { ...RULES, statusTopics: [IN, STATUS] };

type PacketMessage = Extract<MailboxMessage, { kind: 'packet' }>;
type Given = Partial<PacketMessage>;

const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };

function packet(body: unknown, given: Given = {}): PacketMessage {
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

function host(id: string, given: Given = {}, facts: object = { fqdn: 'host-1' }): PacketMessage {
  return packet({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload: { canonical_facts: facts } }, given);
}

function proxy(id: string, given: Given = {}): PacketMessage {
  const facts = { source_type: 'tower', application_type: 'catalog' };
  return packet(
    { ...ENVELOPE, type: 'proxy-handshake', message_id: id, payload: { catalog_service_facts: facts } },
    given,
  );
}

function invalidHandshake(id: string, given: Given = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload: {} }, given);
}

function offline(id: string, given: Given = {}): PacketMessage {
  return packet({ ...ENVELOPE, type: 'offline', message_id: id }, given);
}

function goodbye(id: string, given: Given = {}): PacketMessage {
  return offline(id, { retain: false, ...given });
}

function messageError(id: string, given: Given = {}): PacketMessage {
  return packet(
    { ...ENVELOPE, type: 'message-error', message_id: id, in_response_to: 'sent-1', payload: { details: 'no disk' } },
    { retain: false, ...given },
  );
}

function command(given: Command, at = T0): Extract<MailboxMessage, { kind: 'command' }> {
  return { kind: 'command', clientId: CLIENT, command: given, reply: REPLY, at, id: '1-1' };
}

/** Applies messages one after the other; the effects are those of all of them. */
function play(rules: Rules, start: Connection | undefined, ...messages: MailboxMessage[]): Transition {
  let connection = start;
  const effects: Effect[] = [];
  for (const message of messages) {
    const after = transition(connection, message, rules);
    connection = after.connection;
    effects.push(...after.effects);
  }
  return { connection, effects };
}

function online(rules: Rules = RULES, topic = IN): Connection {
  return known(play(rules, undefined, host('h-1', { topic })).connection);
}

function known(connection: Connection | undefined): Connection {
  if (connection === undefined) throw new Error('the client is not known');
  return connection;
}

function eventsOf({ effects }: Transition): RegistryEvent[] {
  return effects.flatMap((effect) => (effect.kind === 'event' ? [effect.event] : []));
}

function lettersOf({ effects }: Transition): DeadLetter[] {
  return effects.flatMap((effect) => (effect.kind === 'dead-letter' ? [effect.letter] : []));
}

function todosOf({ effects }: Transition): ToDo[] {
  return effects.flatMap((effect) => (effect.kind === 'to-do' ? [effect.todo] : []));
}

function answersOf(outcome: Transition): unknown[] {
  return outcome.effects.flatMap((effect): unknown[] => {
    if (effect.kind === 'to-do' && effect.todo.do === 'reply') return [effect.todo.reply];
    if (effect.kind !== 'refuse') return [];
    const { inResponseTo, details } = effect;
    return [{ type: 'handshake-error', in_response_to: inResponseTo, payload: { details } }];
  });
}

function repliesOf({ effects }: Transition): CommandOutcome[] {
  return effects.flatMap((effect) => (effect.kind === 'reply' ? [effect.outcome] : []));
}

describe('a handshake', () => {
  it('a handshake brings an unknown client online, with its facts', () => {
    const facts = { fqdn: 'host-1', rhel: { version: '9.4' } };
    const outcome = play(RULES, undefined, host('h-1', { at: T0 + 5 }, facts));
    expect(outcome.connection).toEqual({
      client_id: CLIENT,
      type: 'host',
      state: 'online',
      facts,
      handshake_message_id: 'h-1',
      status_topic: IN,
      connected_at: T0 + 5,
      disconnected_at: null,
      offline_reason: null,
      last_message_at: T0 + 5,
      refused_until: null,
      refused_handshake: null,
      unconfirmed_handshake: null,
      superseded_handshakes: [],
      dead_letter_digest: null,
      last_live_handshake_at: T0 + 5,
      last_event_at: null,
      coalesced: null,
      account: null,
      lane: 0,
    });
    expect(outcome.effects).toEqual([
      {
        kind: 'event',
        event: { type: 'connection.online', client_id: CLIENT, connection_type: 'host', handshake_message_id: 'h-1' },
      },
      { kind: 'came-online' },
      { kind: 'undo', todo: { do: 'forget', client_id: CLIENT } },
    ]);
  });

  it('a handshake of a proxy brings a proxy online', () => {
    const outcome = play(RULES, undefined, proxy('p-1'));
    expect(outcome.connection).toMatchObject({
      type: 'proxy',
      state: 'online',
      facts: { source_type: 'tower', application_type: 'catalog' },
    });
    expect(eventsOf(outcome)).toEqual([
      { type: 'connection.online', client_id: CLIENT, connection_type: 'proxy', handshake_message_id: 'p-1' },
    ]);
  });

  it('a handshake brings an offline client back with a new connection time, and the client is no longer to be forgotten', () => {
    const away = known(play(RULES, online(), goodbye('o-1', { at: T0 + 1 })).connection);
    const outcome = play(RULES, away, host('h-2', { at: T0 + 2 }));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      handshake_message_id: 'h-2',
      connected_at: T0 + 2,
      disconnected_at: T0 + 1,
      offline_reason: null,
    });
    expect(eventsOf(outcome).map(({ type }) => type)).toEqual(['connection.online']);
    expect(outcome.effects).toContainEqual({ kind: 'came-online' });
    expect(outcome.effects).toContainEqual({ kind: 'undo', todo: { do: 'forget', client_id: CLIENT } });
  });

  it('a handshake with other facts while online replaces the facts, keeps the connection, and emits an update', () => {
    const outcome = play(RULES, online(), host('h-2', { at: T0 + SECOND }, { fqdn: 'renamed' }));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      facts: { fqdn: 'renamed' },
      handshake_message_id: 'h-2',
      connected_at: T0,
      last_message_at: T0 + SECOND,
    });
    expect(outcome.effects).toEqual([
      {
        kind: 'event',
        event: { type: 'connection.updated', client_id: CLIENT, connection_type: 'host', handshake_message_id: 'h-2' },
      },
      { kind: 'came-online' },
    ]);
  });

  it('a handshake with the same facts while online is recorded and emits no event', () => {
    const before = online();
    const outcome = play(RULES, before, host('h-2', { at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      handshake_message_id: 'h-2',
      connected_at: T0,
      last_message_at: T0 + SECOND,
    });
    expect(outcome.connection?.facts).toBe(before.facts);
    expect(outcome.effects).toEqual([{ kind: 'came-online' }]);
  });

  it('a handshake drops facts that it no longer states', () => {
    const start = known(play(RULES, undefined, host('h-1', {}, { fqdn: 'host-1', machine_id: 'm' })).connection);
    expect(play(RULES, start, host('h-2')).connection?.facts).toEqual({ fqdn: 'host-1' });
  });

  it('a handshake of the other type while online changes the type', () => {
    const outcome = play(RULES, online(), proxy('p-1'));
    expect(outcome.connection).toMatchObject({ type: 'proxy', state: 'online', connected_at: T0 });
    expect(eventsOf(outcome)).toEqual([
      { type: 'connection.updated', client_id: CLIENT, connection_type: 'proxy', handshake_message_id: 'p-1' },
    ]);
    const both = { fqdn: 'host-1', source_type: 'tower', application_type: 'catalog' };
    const alike = { ...ENVELOPE, type: 'proxy-handshake', message_id: 'p-1', payload: { catalog_service_facts: both } };
    const changed = play(RULES, play(RULES, undefined, host('h-1', {}, both)).connection, packet(alike));
    expect(eventsOf(changed).map(({ type }) => type)).toEqual(['connection.updated']);
  });

  it.each([false, true])('a handshake with the recorded id changes nothing while online (DUP: %s)', (dup) => {
    const before = online();
    const again = host('h-1', { dup, at: T0 + SECOND }, { fqdn: 'other' });
    const last_live_handshake_at = dup ? T0 : T0 + SECOND;
    expect(transition(before, again, RULES)).toEqual({
      connection: { ...before, last_live_handshake_at },
      effects: [],
    });
  });

  it('a handshake with the recorded id is a new connection while offline', () => {
    const away = known(play(RULES, online(), offline('o-1', { at: T0 + 1 })).connection);
    const outcome = play(RULES, away, host('h-1', { at: T0 + 2 }));
    expect(outcome.connection).toMatchObject({ state: 'online', connected_at: T0 + 2, handshake_message_id: 'h-1' });
    expect(eventsOf(outcome).map(({ type }) => type)).toEqual(['connection.online']);
  });

  it('a handshake that is not retained is refused, the answer says how to correct it, and nothing changes', () => {
    for (const before of [undefined, online()]) {
      const outcome = play(RULES, before, host('h-9', { retain: false }));
      const details = 'a handshake must be retained: publish it again with the retain flag set';
      expect(outcome.connection).toBe(before);
      expect(answersOf(outcome)).toEqual([{ type: 'handshake-error', in_response_to: 'h-9', payload: { details } }]);
      expect(lettersOf(outcome)).toEqual([
        { client_id: CLIENT, topic: IN, reason: 'not-retained', details, sample: host('h-9').body },
      ]);
      expect(eventsOf(outcome)).toEqual([
        { type: 'connection.refused', client_id: CLIENT, reason: 'not-retained', message_id: 'h-9' },
      ]);
    }
  });

  it.each([true, false])(
    'a handshake on a topic that carries no state is refused, and the answer names the right topic (retained: %s)',
    (retain) => {
      const before = online(SPLIT, STATUS);
      const outcome = play(SPLIT, before, host('h-9', { topic: IN, retain }));
      const details = `connection state belongs on ${STATUS}: publish the handshake there`;
      expect(outcome.connection).toBe(before);
      expect(answersOf(outcome)).toEqual([{ type: 'handshake-error', in_response_to: 'h-9', payload: { details } }]);
      expect(lettersOf(outcome)).toMatchObject([{ topic: IN, reason: 'wrong-topic', details }]);
    },
  );

  it('the refusal of a handshake on a wrong topic names all the right topics', () => {
    const rules = { ...SPLIT, statusTopics: [STATUS, OTHER_STATUS] };
    const [letter] = lettersOf(play(rules, undefined, host('h-9')));
    expect(letter?.details).toContain(`${STATUS} or ${OTHER_STATUS}`);
  });

  it('an invalid handshake takes the client offline, and the answer says what is wrong', () => {
    const outcome = play(RULES, online(), invalidHandshake('h-2', { at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      offline_reason: 'invalid-handshake',
      disconnected_at: T0 + SECOND,
      facts: { fqdn: 'host-1' },
      handshake_message_id: 'h-1',
    });
    expect(eventsOf(outcome)).toEqual([
      { type: 'connection.offline', client_id: CLIENT, reason: 'invalid-handshake' },
      { type: 'connection.refused', client_id: CLIENT, reason: 'wrong-shape', message_id: 'h-2' },
    ]);
    expect(answersOf(outcome)).toEqual([
      {
        type: 'handshake-error',
        in_response_to: 'h-2',
        payload: { details: expect.stringContaining('payload.canonical_facts: ') as unknown },
      },
    ]);
  });

  it('an invalid handshake does not make a client known', () => {
    const outcome = play(RULES, undefined, invalidHandshake('h-1'));
    expect(outcome.connection).toBeUndefined();
    expect(answersOf(outcome)).toHaveLength(1);
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'wrong-shape' }]);
  });

  it('a handshake is answered if the installation responds, and only if it was accepted', () => {
    const rules = { ...RULES, respond: true };
    const response = { type: 'handshake-response', in_response_to: 'h-1' };
    const first = play(rules, undefined, host('h-1'));
    expect(answersOf(first)).toEqual([response]);
    expect(answersOf(play(rules, first.connection, host('h-1')))).toEqual([]);
    expect(answersOf(play(rules, first.connection, host('h-2', { retain: false })))).toMatchObject([
      { type: 'handshake-error' },
    ]);
    expect(answersOf(play(RULES, undefined, host('h-1')))).toEqual([]);
  });
});

describe('offline', () => {
  const ways: [string, PacketMessage[], string][] = [
    ['a goodbye, followed by the removal of the handshake', [goodbye('o-1'), packet('')], 'goodbye'],
    ['a retained offline that replaces the handshake', [offline('o-1')], 'retained-offline'],
    ['a retained offline as the last will, written long before', [lastWill()], 'retained-offline'],
    ['the removal of the handshake alone', [packet('')], 'handshake-removed'],
  ];

  function lastWill(): PacketMessage {
    const text = { type: 'offline', message_id: 'w-1', version: 1, sent: '1999-01-01T00:00:00Z' };
    return packet(text);
  }

  it.each(ways)('%s ends the connection once', (_, messages, reason) => {
    const times = messages.map((message, i) => ({ ...message, at: T0 + (i + 1) * SECOND }));
    const outcome = play(RULES, online(), ...times);
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      offline_reason: reason,
      connected_at: T0,
      disconnected_at: T0 + SECOND,
      last_message_at: T0 + messages.length * SECOND,
      facts: { fqdn: 'host-1' },
      handshake_message_id: 'h-1',
    });
    expect(withoutConfirmation(outcome)).toEqual([
      { kind: 'event', event: { type: 'connection.offline', client_id: CLIENT, reason } },
      { kind: 'to-do', todo: { do: 'forget', client_id: CLIENT }, inMs: RETENTION },
    ]);
  });

  function withoutConfirmation({ effects }: Transition): Effect[] {
    return effects.filter((effect) => !('todo' in effect && effect.todo.do === 'confirm'));
  }

  it('a goodbye is to be confirmed by the next retained message', () => {
    const todo = { do: 'confirm', client_id: CLIENT };
    const said = play(RULES, online(), goodbye('o-1'));
    expect(said.effects).toContainEqual({ kind: 'to-do', todo, inMs: expect.any(Number) as number });
    for (const next of [packet(''), offline('o-2'), host('h-2')]) {
      expect(play(RULES, said.connection, next).effects).toContainEqual({ kind: 'undo', todo });
    }
    expect(play(RULES, said.connection, goodbye('o-2'), messageError('e-1')).effects).not.toContainEqual({
      kind: 'undo',
      todo,
    });
  });

  it.each(ways)('%s does nothing for a client that never registered', (_, messages) => {
    expect(play(RULES, undefined, ...messages)).toEqual({ connection: undefined, effects: [] });
  });

  it.each(ways)('%s while offline keeps the time and reason of the disconnection', (_, messages) => {
    const away = known(play(RULES, online(), goodbye('o-0', { at: T0 + 1 })).connection);
    const outcome = play(RULES, away, ...messages.map((message) => ({ ...message, at: T0 + SECOND })));
    expect(outcome.connection).toMatchObject({ state: 'offline', offline_reason: 'goodbye', disconnected_at: T0 + 1 });
    expect(withoutConfirmation(outcome)).toEqual([]);
  });

  it.each(ways)('%s can be followed by a new handshake', (_, messages) => {
    expect(play(RULES, online(), ...messages, host('h-2')).connection).toMatchObject({ state: 'online' });
  });

  it('an offline message may carry the id of an earlier last will, since the id alone decides nothing', () => {
    const outcome = play(RULES, online(), lastWill(), host('h-2'), lastWill());
    expect(outcome.connection?.state).toBe('offline');
    expect(eventsOf(outcome).map(({ type }) => type)).toEqual([
      'connection.offline',
      'connection.online',
      'connection.offline',
    ]);
  });

  it('an offline message on a topic that carries no state becomes a dead letter, is not answered, and changes nothing', () => {
    const before = online(SPLIT, STATUS);
    for (const retain of [true, false]) {
      const outcome = play(SPLIT, before, offline('o-1', { topic: IN, retain }));
      expect(outcome.connection).toBe(before);
      expect(lettersOf(outcome)).toMatchObject([
        { reason: 'wrong-topic', details: `connection state belongs on ${STATUS}` },
      ]);
      expect(answersOf(outcome)).toEqual([]);
      expect(eventsOf(outcome)).toEqual([]);
    }
  });
});

describe('a retained message that is no handshake', () => {
  it.each([
    ['what is not JSON', 'hello', 'not-json', 'unknown'],
    ['what is no object', '[1]', 'wrong-shape', 'unknown'],
    ['an unknown type', '{"type":"hello","message_id":"x-1"}', 'unknown-type', 'unknown'],
    ['an offline of version 2', '{"type":"offline","message_id":"x-1","version":2}', 'unsupported-version', 'unknown'],
    ['a handshake of version 2', '{"type":"host-handshake","version":2}', 'unsupported-version', 'invalid-handshake'],
  ])('a retained message takes the client offline if it is %s', (_, body, letter, reason) => {
    const outcome = play(RULES, online(), packet(body, { at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      offline_reason: reason,
      disconnected_at: T0 + SECOND,
    });
    expect(eventsOf(outcome)[0]).toEqual({ type: 'connection.offline', client_id: CLIENT, reason });
    expect(lettersOf(outcome)).toMatchObject([{ client_id: CLIENT, topic: IN, reason: letter, sample: body }]);
  });

  it('a retained message-error takes the client offline, and still fails the message it is about', () => {
    const error = messageError('e-1', { retain: true, at: T0 + SECOND });
    const outcome = play(RULES, online(), error);
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      offline_reason: 'unknown',
      disconnected_at: T0 + SECOND,
    });
    expect(lettersOf(outcome)).toEqual([
      {
        client_id: CLIENT,
        topic: IN,
        reason: 'wrong-shape',
        details: 'a message-error must not be retained: it took the place of the handshake',
        sample: error.body,
      },
    ]);
    expect(todosOf(outcome)).toEqual([
      { do: 'forget', client_id: CLIENT },
      { do: 'message-error', client_id: CLIENT, in_response_to: 'sent-1', details: 'no disk' },
    ]);
    expect(answersOf(outcome)).toEqual([]);
  });

  it('a retained message-error of a client that never registered fails the message it is about', () => {
    const outcome = play(SPLIT, undefined, messageError('e-1', { topic: STATUS, retain: true }));
    expect(outcome.connection).toBeUndefined();
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'wrong-shape' }]);
    expect(todosOf(outcome)).toMatchObject([{ do: 'message-error', in_response_to: 'sent-1' }]);
  });

  it('a retained message-error on a topic that carries no state does not change the state', () => {
    const outcome = play(SPLIT, online(SPLIT, STATUS), messageError('e-1', { retain: true }));
    expect(outcome.connection?.state).toBe('online');
    expect(lettersOf(outcome)).toEqual([]);
    expect(todosOf(outcome)).toMatchObject([{ do: 'message-error' }]);
  });

  it.each([
    ['too-large' as const, 'the message is larger than 262144 bytes'],
    ['not-utf8' as const, 'the message is not UTF-8 text'],
  ])('a retained message takes the client offline if it is %s', (refused, details) => {
    const outcome = play(RULES, online(), packet('sample', { refused, at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      offline_reason: 'unknown',
      disconnected_at: T0 + SECOND,
    });
    expect(lettersOf(outcome)).toEqual([{ client_id: CLIENT, topic: IN, reason: refused, details, sample: 'sample' }]);
  });
});

describe('a message that cannot be processed', () => {
  const bad: [string, PacketMessage, string][] = [
    ['an empty message', packet('', { retain: false }), 'empty'],
    ['what is not JSON', packet('hello', { retain: false }), 'not-json'],
    ['what is no object', packet('[]', { retain: false }), 'wrong-shape'],
    ['an unknown type', packet('{"type":"hello","message_id":"x-1"}', { retain: false }), 'unknown-type'],
    ['an unknown type without an id', packet('{"type":"hello"}', { retain: false }), 'unknown-type'],
    ['a message too large', packet('{"type":', { retain: false, refused: 'too-large' }), 'too-large'],
    ['a message not UTF-8', packet('\u00ff', { retain: false, refused: 'not-utf8' }), 'not-utf8'],
    [
      'a message-error without details',
      messageError('e-1', { body: '{"type":"message-error"}' }),
      'unsupported-version',
    ],
  ];

  it.each(bad)(
    'a message that cannot be processed becomes a dead letter, is not answered on `in`, and changes nothing: %s',
    (_, message, reason) => {
      for (const before of [undefined, online()]) {
        const outcome = play(RULES, before, message);
        expect(outcome.connection).toBe(before);
        expect(outcome.effects).toEqual([
          {
            kind: 'dead-letter',
            reason,
            letter: {
              client_id: CLIENT,
              topic: IN,
              reason,
              details: expect.stringMatching(/./) as unknown,
              sample: message.body,
            },
          },
        ]);
      }
    },
  );

  it.each(bad)(
    'a message that cannot be processed is not answered on `in` either if state has its own topic: %s',
    (_, message) => {
      expect(answersOf(play(SPLIT, undefined, message))).toEqual([]);
      expect(answersOf(play(SPLIT, undefined, { ...message, retain: message.body !== '' }))).toEqual([]);
    },
  );

  it.each([
    ['what is not JSON', 'hello', undefined],
    ['what is no object', 'null', undefined],
    ['a type that is missing', '{}', undefined],
    ['an unknown type without an id', '{"type":"hello"}', undefined],
    ['a message too large', 'sample', 'too-large' as const],
    ['a message not UTF-8', 'sample', 'not-utf8' as const],
  ])(
    'a message without a readable id on a topic that carries only state is answered without an id: %s',
    (_, body, refused) => {
      for (const retain of [true, false]) {
        const given = { topic: STATUS, retain, ...(refused && { refused }) };
        const outcome = play(SPLIT, undefined, packet(body, given));
        const [letter] = lettersOf(outcome);
        expect(letter).toBeDefined();
        expect(answersOf(outcome)).toEqual([
          { type: 'handshake-error', in_response_to: null, payload: { details: letter?.details } },
        ]);
        expect(eventsOf(outcome)).toEqual([
          { type: 'connection.refused', client_id: CLIENT, reason: letter?.reason, message_id: null },
        ]);
      }
    },
  );

  it.each([
    ['an unknown type with an id', packet('{"type":"hello","message_id":"x-1"}', { topic: STATUS })],
    ['an empty message that is not retained', packet('', { topic: STATUS, retain: false })],
  ])('a message on a topic that carries only state is not answered if it is %s', (_, message) => {
    const outcome = play(SPLIT, undefined, message);
    expect(lettersOf(outcome)).toHaveLength(1);
    expect(answersOf(outcome)).toEqual([]);
  });

  it('the removal of a retained message on a topic that carries no state does nothing', () => {
    for (const before of [undefined, online(SPLIT, STATUS)]) {
      expect(play(SPLIT, before, packet('', { topic: IN }))).toEqual({ connection: before, effects: [] });
      expect(lettersOf(play(SPLIT, before, packet('', { topic: IN, retain: false })))).toMatchObject([
        { reason: 'empty' },
      ]);
    }
  });

  it('a handshake that cannot be processed is answered with its id, on any topic', () => {
    for (const rules of [RULES, SPLIT]) {
      expect(answersOf(play(rules, undefined, invalidHandshake('h-7')))).toMatchObject([{ in_response_to: 'h-7' }]);
      expect(answersOf(play(rules, undefined, invalidHandshake('', { topic: IN })))).toMatchObject([
        { in_response_to: null },
      ]);
    }
  });

  it('a dead letter keeps the first 1,024 characters of its message', () => {
    const [letter] = lettersOf(play(RULES, undefined, packet('x'.repeat(5000), { retain: false })));
    expect(letter?.sample).toBe('x'.repeat(1024));
  });
});

describe('a message-error', () => {
  it.each([false, true])(
    'a message-error concerns only the message it is about; the connection records its time (offline: %s)',
    (away) => {
      const before = away ? known(play(RULES, online(), goodbye('o-1')).connection) : online();
      const outcome = play(RULES, before, messageError('e-1', { at: T0 + SECOND }));
      expect(outcome.connection).toEqual({ ...before, last_message_at: T0 + SECOND });
      expect(outcome.effects).toEqual([
        {
          kind: 'to-do',
          todo: { do: 'message-error', client_id: CLIENT, in_response_to: 'sent-1', details: 'no disk' },
        },
      ]);
    },
  );

  it('a message-error of a client that never registered is passed on, and does not make the client known', () => {
    const outcome = play(RULES, undefined, messageError('e-1'));
    expect(outcome.connection).toBeUndefined();
    expect(todosOf(outcome)).toMatchObject([{ do: 'message-error', in_response_to: 'sent-1' }]);
  });

  it('a message-error is accepted on any topic if state has its own topic', () => {
    for (const topic of [IN, STATUS]) {
      expect(todosOf(play(SPLIT, undefined, messageError('e-1', { topic })))).toHaveLength(1);
    }
  });

  it.each([
    ['x'.repeat(5000), 'x'.repeat(1000)],
    ['x'.repeat(1000), 'x'.repeat(1000)],
    // A character of two units is not cut in half.
    ['x'.repeat(999) + '\u{1F600}', 'x'.repeat(999) + '\uFFFD'],
    ['x'.repeat(998) + '\u{1F600}y', 'x'.repeat(998) + '\u{1F600}'],
    // Nor does half a character that came so reach Redis.
    ['\uD83D', '\uFFFD'],
  ])('a message-error is cut to 1,000 characters of well-formed details (case %#)', (details, kept) => {
    const about = { type: 'message-error', message_id: 'e-1', in_response_to: 'sent-1', payload: { details } };
    for (const retain of [true, false]) {
      const outcome = play(RULES, undefined, packet({ ...ENVELOPE, ...about }, { retain }));
      expect(todosOf(outcome)).toEqual([
        { do: 'message-error', client_id: CLIENT, in_response_to: 'sent-1', details: kept },
      ]);
    }
  });
});

describe('a refusal window', () => {
  function away(until: string): Connection {
    const commands = command({ do: 'force-disconnect', reconnect_after: until });
    return known(play(RULES, online(), commands, offline('o-1')).connection);
  }

  it('a refusal window refuses a handshake within it, and the answer names the time left', () => {
    const before = away('PT30S');
    const outcome = play(RULES, before, host('h-2', { at: T0 + 10 * SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'offline',
      handshake_message_id: 'h-1',
      refused_until: T0 + 30 * SECOND,
      last_message_at: T0 + 10 * SECOND,
    });
    const details = 'this client was disconnected and may come back in 20 s, at 2024-05-06T07:00:30.000Z';
    expect(answersOf(outcome)).toEqual([{ type: 'handshake-error', in_response_to: 'h-2', payload: { details } }]);
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'refused-until', details }]);
    expect(eventsOf(outcome)).toEqual([
      { type: 'connection.refused', client_id: CLIENT, reason: 'refused-until', message_id: 'h-2' },
    ]);
  });

  it('a refusal window without an end refuses at any time, and the answer says who can end it', () => {
    const outcome = play(RULES, away('never'), host('h-2', { at: T0 + 100 * 365 * 86_400_000 }));
    expect(outcome.connection).toMatchObject({ state: 'offline', refused_until: 'never' });
    expect(lettersOf(outcome)).toMatchObject([
      { details: 'this client was disconnected until an operator lets it in again' },
    ]);
  });

  it('a refusal window lets a handshake in as soon as it has ended, and is then removed', () => {
    const before = away('PT30S');
    expect(play(RULES, before, host('h-2', { at: T0 + 30 * SECOND - 1 })).connection?.state).toBe('offline');
    const outcome = play(RULES, before, host('h-2', { at: T0 + 30 * SECOND }));
    expect(outcome.connection).toMatchObject({ state: 'online', refused_until: null });
    expect(answersOf(outcome)).toEqual([]);
  });

  it('a refusal window takes an online client offline if the client shakes hands within it', () => {
    const forced = play(RULES, online(), command({ do: 'force-disconnect', reconnect_after: 'PT30S' })).connection;
    const outcome = play(RULES, forced, host('h-2', { at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({ state: 'offline', offline_reason: 'refused' });
    expect(eventsOf(outcome).map(({ type }) => type)).toEqual(['connection.offline', 'connection.refused']);
  });

  it('a refusal window stays after a goodbye and after any other message of the client', () => {
    const said = [goodbye('o-2'), packet(''), packet('hello'), messageError('e-1'), host('h-2', { at: T0 })];
    expect(play(RULES, away('PT30S'), ...said).connection?.refused_until).toBe(T0 + 30 * SECOND);
  });
});

describe('a move between status topics', () => {
  const moved = known(play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS, at: T0 + SECOND })).connection);

  it('a client that shakes hands on the other status topic moves, and its old retained message is cleared', () => {
    const outcome = play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS, at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      status_topic: STATUS,
      handshake_message_id: 'h-2',
      connected_at: T0,
    });
    expect(outcome.effects).toEqual([
      { kind: 'came-online' },
      { kind: 'to-do', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: IN }, inMs: 5 * SECOND },
      { kind: 'undo', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: STATUS } },
      { kind: 'verify', reason: 'status-topic' },
    ]);
  });

  it('a client that moves back before its old topic was cleared keeps its message there', () => {
    const back = play(MOVING, moved, host('h-3', { topic: IN, at: T0 + 2 * SECOND }));
    expect(back.connection?.status_topic).toBe(IN);
    expect(back.effects).toEqual([
      { kind: 'came-online' },
      { kind: 'to-do', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: STATUS }, inMs: 5 * SECOND },
      { kind: 'undo', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: IN } },
      { kind: 'verify', reason: 'status-topic' },
    ]);
  });

  it('a client moves even if the handshake has the recorded id', () => {
    const outcome = play(MOVING, online(MOVING, IN), host('h-1', { topic: STATUS }));
    expect(outcome.connection?.status_topic).toBe(STATUS);
    expect(todosOf(outcome)).toEqual([{ do: 'clear-retained', client_id: CLIENT, status_topic: IN }]);
  });

  it('a client that comes back on the other status topic moves as well', () => {
    const away = play(MOVING, online(MOVING, IN), offline('o-1')).connection;
    const outcome = play(MOVING, away, host('h-2', { topic: STATUS }));
    expect(outcome.connection).toMatchObject({ state: 'online', status_topic: STATUS });
    expect(todosOf(outcome)).toEqual([{ do: 'clear-retained', client_id: CLIENT, status_topic: IN }]);
  });

  it.each([
    ['a retained offline', offline('o-1', { topic: IN })],
    ['a goodbye', goodbye('o-1', { topic: IN })],
    ['the removal of the handshake', packet('', { topic: IN })],
  ])('%s on the old topic changes nothing after the move', (_, message) => {
    expect(play(MOVING, moved, message)).toEqual({ connection: moved, effects: [] });
  });

  it.each([
    ['an invalid handshake', invalidHandshake('h-9', { topic: IN })],
    ['what is not JSON', packet('hello', { topic: IN })],
    ['a message too large', packet('x', { topic: IN, refused: 'too-large' })],
  ])('%s on the old topic becomes a dead letter and does not change the state', (_, message) => {
    const outcome = play(MOVING, moved, message);
    expect(outcome.connection).toEqual(moved);
    expect(lettersOf(outcome)).toHaveLength(1);
  });

  it('an offline message on the new topic ends the connection', () => {
    expect(play(MOVING, moved, offline('o-1', { topic: STATUS })).connection?.state).toBe('offline');
  });

  it('no retained message is cleared if the client stays on its topic', () => {
    const outcome = play(
      MOVING,
      moved,
      host('h-3', { topic: STATUS }),
      offline('o-1', { topic: STATUS }),
      host('h-4', { topic: STATUS }),
    );
    expect(todosOf(outcome).map((todo) => todo.do)).toEqual(['forget']);
  });

  it('a client whose handshake on the other status topic is refused does not move', () => {
    const outcome = play(MOVING, online(MOVING, IN), invalidHandshake('h-2', { topic: STATUS }));
    expect(outcome.connection).toEqual(online(MOVING, IN));
    expect(todosOf(outcome)).toEqual([]);
    expect(answersOf(outcome)).toHaveLength(1);
  });
});

describe('a redelivery', () => {
  function again(...messages: PacketMessage[]): PacketMessage[] {
    return messages.map((message) => ({ ...message, dup: true, at: T0 + 60 * SECOND }));
  }

  it('a redelivered reconnect, from the last will on, leaves the client online with its new handshake', () => {
    const [h1, o1, removed, h2] = [host('h-1'), offline('o-1'), packet(''), host('h-2', {}, { fqdn: 'host-2' })];
    const once = known(play(RULES, undefined, h1, o1, removed, h2).connection);
    const outcome = play(RULES, once, ...again(o1, removed, h2));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      handshake_message_id: 'h-2',
      facts: { fqdn: 'host-2' },
      offline_reason: null,
    });
    expect(eventsOf(outcome).map(({ type }) => type)).toEqual(['connection.offline', 'connection.online']);
  });

  it('a redelivered last will that carries the id of the one before leaves the client offline', () => {
    const will = offline('will');
    const [h1, h2] = [host('h-1'), host('h-2')];
    const once = known(play(RULES, undefined, h1, will, h2, will).connection);
    expect(play(RULES, once, ...again(h2, will)).connection).toMatchObject({
      state: 'offline',
      offline_reason: 'retained-offline',
      handshake_message_id: 'h-2',
    });
    const alive = known(play(RULES, undefined, h1, will, h2).connection);
    expect(play(RULES, alive, ...again(will)).connection?.state).toBe('offline');
  });

  it('a redelivered handshake, together with the last will that followed it, leaves the client offline', () => {
    const [h1, will] = [host('h-1'), offline('will')];
    const once = known(play(RULES, undefined, h1, will).connection);
    expect(play(RULES, once, ...again(will)).connection).toMatchObject({ state: 'offline', disconnected_at: T0 });
    expect(play(RULES, once, ...again(h1, will)).connection).toMatchObject({ state: 'offline' });
  });

  it('a redelivered move to another status topic ends on the new topic, and clears only the old one', () => {
    const [h1, h2] = [host('h-1', { topic: IN }), host('h-2', { topic: STATUS })];
    const once = known(play(MOVING, undefined, h1, h2).connection);
    const outcome = play(MOVING, once, ...again(h1, h2));
    expect(outcome.connection).toMatchObject({ state: 'online', status_topic: STATUS, handshake_message_id: 'h-2' });
    const decided = new Map(
      outcome.effects.flatMap((effect) =>
        (effect.kind === 'to-do' || effect.kind === 'undo') && effect.todo.do === 'clear-retained'
          ? [[effect.todo.status_topic, effect.kind]]
          : [],
      ),
    );
    expect(decided).toEqual(
      new Map([
        [STATUS, 'undo'],
        [IN, 'to-do'],
      ]),
    );
  });

  it('a redelivery does what a first delivery does, and is verified if it bears state and there are several lanes', () => {
    const error = messageError('e-1');
    for (const message of [host('h-2'), offline('o-1'), goodbye('o-1'), packet(''), error]) {
      for (const lanes of [1, 2]) {
        const rules = { ...RULES, lanes };
        const { connection, effects } = transition(online(), message, rules);
        const verification = message === error || lanes === 1 ? [] : [{ kind: 'verify', reason: 'redelivery' }];
        const again = transition(online(), { ...message, dup: true }, rules);
        expect(again).toEqual({ connection, effects: [...effects, ...verification] });
      }
    }
  });
});

describe('a command', () => {
  const away = known(play(RULES, online(), goodbye('o-1')).connection);

  it.each<Command>([{ do: 'force-disconnect', reconnect_after: 'PT30S' }, { do: 'lift-refusal' }, { do: 'forget' }])(
    'a command about a client that never registered is answered with unknown: %j',
    (given) => {
      expect(play(RULES, undefined, command(given))).toEqual({
        connection: undefined,
        effects: [
          ...(given.do === 'forget' ? [{ kind: 'undo', todo: { do: 'forget', client_id: CLIENT } }] : []),
          { kind: 'reply', reply: REPLY, outcome: { kind: 'unknown' } },
        ],
      });
    },
  );

  it('a command without a waiting caller has no reply', () => {
    const silent: MailboxMessage = {
      kind: 'command',
      clientId: CLIENT,
      command: { do: 'lift-refusal' },
      at: T0,
      id: '1-1',
    };
    expect(repliesOf(play(RULES, online(), silent))).toEqual([]);
    expect(repliesOf(play(RULES, undefined, silent))).toEqual([]);
  });

  it.each([
    ['PT30S', T0 + 30 * SECOND],
    ['2024-05-06T09:00:00+02:00', T0],
    ['2024-05-06T10:00:00Z', T0 + 3 * 3600 * SECOND],
    ['never', 'never'],
  ])(
    'a force-disconnect until %s is sent to an online client, and changes only the window',
    (reconnectAfter, until) => {
      const before = online();
      const outcome = play(RULES, before, command({ do: 'force-disconnect', reconnect_after: reconnectAfter }));
      const force_disconnect = { reconnect_after: reconnectAfter, at: T0 };
      expect(outcome.connection).toEqual({ ...before, refused_until: until, force_disconnect });
      expect(outcome.effects).toEqual([
        {
          kind: 'to-do',
          todo: {
            do: 'reply',
            client_id: CLIENT,
            reply: { type: 'force-disconnect', payload: { reconnect_after: reconnectAfter } },
            message_id: expect.stringMatching(UUID) as string,
          },
        },
        { kind: 'reply', reply: REPLY, outcome: { kind: 'done' } },
      ]);
    },
  );

  it('a force-disconnect of an offline client is not sent, and still refuses the client', () => {
    const outcome = play(RULES, away, command({ do: 'force-disconnect', reconnect_after: 'PT30S' }, T0 + SECOND));
    expect(outcome.connection).toEqual({ ...away, refused_until: T0 + 31 * SECOND });
    expect(outcome.effects).toEqual([{ kind: 'reply', reply: REPLY, outcome: { kind: 'done' } }]);
  });

  it('another force-disconnect replaces the window', () => {
    const [long, short] = ['never', 'PT1S'].map((until) => command({ do: 'force-disconnect', reconnect_after: until }));
    if (long === undefined || short === undefined) throw new Error('two commands expected');
    expect(play(RULES, online(), long, short).connection?.refused_until).toBe(T0 + SECOND);
  });

  it('a force-disconnect until a time that cannot be understood changes nothing', () => {
    const outcome = play(RULES, online(), command({ do: 'force-disconnect', reconnect_after: 'soon' }));
    expect(outcome.connection).toEqual(online());
    expect(todosOf(outcome)).toEqual([]);
    expect(repliesOf(outcome)).toEqual([{ kind: 'conflict', details: 'reconnect_after cannot be understood' }]);
  });

  it('a command to lift a refusal lets the client in again', () => {
    const refused = play(RULES, away, command({ do: 'force-disconnect', reconnect_after: 'never' })).connection;
    const lifted = play(RULES, refused, command({ do: 'lift-refusal' }));
    expect(lifted.connection).toEqual({ ...away, refused_until: null });
    expect(lifted.effects).toEqual([
      { kind: 'to-do', todo: { do: 'forget', client_id: CLIENT }, inMs: RETENTION },
      { kind: 'reply', reply: REPLY, outcome: { kind: 'done' } },
    ]);
    expect(play(RULES, lifted.connection, host('h-2')).connection?.state).toBe('online');
  });

  it('a command to lift a refusal that does not exist succeeds, and an online client is not to be forgotten', () => {
    const outcome = play(RULES, online(), command({ do: 'lift-refusal' }));
    expect(outcome.connection).toEqual(online());
    expect(outcome.effects).toEqual([{ kind: 'reply', reply: REPLY, outcome: { kind: 'done' } }]);
  });

  it('a command to forget an offline client forgets it', () => {
    expect(play(RULES, away, command({ do: 'forget' }))).toEqual({
      connection: undefined,
      effects: [
        { kind: 'undo', todo: { do: 'forget', client_id: CLIENT } },
        { kind: 'reply', reply: REPLY, outcome: { kind: 'done' } },
      ],
    });
  });

  it('a command to forget an online client is a conflict', () => {
    const outcome = play(RULES, online(), command({ do: 'forget' }));
    expect(outcome.connection).toEqual(online());
    expect(outcome.effects).toHaveLength(1);
    expect(repliesOf(outcome)).toEqual([
      { kind: 'conflict', details: 'the client is online; only an offline one can be forgotten' },
    ]);
  });

  it.each([
    ['never', 100 * 365 * 86_400_000],
    ['PT30S', 30 * SECOND - 1],
  ])('a command to forget a client that is refused until %s is a conflict within the window', (until, later) => {
    const refused = play(RULES, away, command({ do: 'force-disconnect', reconnect_after: until })).connection;
    const outcome = play(RULES, refused, command({ do: 'forget' }, T0 + later));
    expect(outcome.connection).toBe(refused);
    expect(outcome.effects).toEqual([
      // It comes up again, or the connection would be kept for ever.
      { kind: 'to-do', todo: { do: 'forget', client_id: CLIENT }, inMs: RETENTION },
      {
        kind: 'reply',
        reply: REPLY,
        outcome: { kind: 'conflict', details: 'the client is refused; lift the refusal first' },
      },
    ]);
  });

  it('a command to forget a client whose refusal has ended forgets it', () => {
    const refused = play(RULES, away, command({ do: 'force-disconnect', reconnect_after: 'PT30S' })).connection;
    const outcome = play(RULES, refused, command({ do: 'forget' }, T0 + 30 * SECOND));
    expect(outcome.connection).toBeUndefined();
    expect(repliesOf(outcome)).toEqual([{ kind: 'done' }]);
  });
});

/** What the properties are made of: everything that can arrive on the one status topic, and the commands but `forget`. */
const id = fc.constantFrom('i-1', 'i-2', 'i-3', 'i-4', 'i-5', 'will');
/** Facts follow from the id: a handshake with the recorded id changes nothing, so that other facts would be lost by rule. */
const factsOf = (messageId: string): object => ({ fqdn: `host of ${messageId}` });
const fresh = { retain: fc.boolean() };
const anyPacket: fc.Arbitrary<PacketMessage> = fc.oneof(
  { weight: 4, arbitrary: id.map((one) => host(one, {}, factsOf(one))) },
  id.map((one) => proxy(`proxy ${one}`)),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => host(one, { retain }, factsOf(one))),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => invalidHandshake(one, { retain })),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => offline(one, { retain })),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => messageError(one, { retain })),
  fc.record(fresh).map(({ retain }) => packet('', { retain })),
  fc.record(fresh).map(({ retain }) => packet('hello', { retain })),
  fc.record(fresh).map(({ retain }) => packet({ type: 'hello', message_id: 'i-1' }, { retain })),
  fc
    .record({ ...fresh, refused: fc.constantFrom('too-large' as const, 'not-utf8' as const) })
    .map((given) => packet('?', given)),
);
/** The same text on every connection of the client. */
const constantWill = fc.constant(offline('will'));
const anyCommand = fc
  .constantFrom<Command>(
    { do: 'force-disconnect', reconnect_after: 'PT3S' },
    { do: 'force-disconnect', reconnect_after: 'never' },
    { do: 'lift-refusal' },
  )
  .map((given) => command(given));
const story = fc
  .array(fc.oneof({ weight: 6, arbitrary: anyPacket }, { weight: 1, arbitrary: anyCommand }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((messages) => messages.map((message, i): MailboxMessage => ({ ...message, at: T0 + i * SECOND })));

describe('a throttled connection', () => {
  const cut = command({ do: 'throttled', topic: IN, sample: '{"type"', details: 'too many' });
  const letter = { client_id: CLIENT, topic: IN, reason: 'flood', details: 'too many', sample: '{"type"' };

  it.each([
    ['an online client', online()],
    ['an unknown client, whose handshake may be the message that was cut', undefined],
  ])(
    'a throttled connection leaves a dead letter with a sample, and the client is verified after the window: %s',
    (_, before) => {
      expect(play(RULES, before, cut)).toEqual({
        connection: before,
        effects: [
          { kind: 'dead-letter', letter, reason: 'flood' },
          { kind: 'to-do', todo: { do: 'confirm', client_id: CLIENT, after: 'throttled' }, inMs: THROTTLE_WINDOW_MS },
        ],
      });
    },
  );

  it('a throttled connection is confirmed even if the client retains other messages before', () => {
    const todo = { do: 'confirm', client_id: CLIENT, after: 'throttled' };
    expect(play(RULES, online(), cut, host('h-2'), goodbye('o-1'), offline('o-2')).effects).not.toContainEqual({
      kind: 'undo',
      todo,
    });
  });
});

describe('agreement', () => {
  /**
   * Claimed for one client on one lane and one status topic, no packet redelivered: once the last message that bears
   * state (anything retained, or a goodbye) has been applied, the registry is what `truth` says of what the broker
   * retains, judged by the refusal that stood when that message was stored. Messages that bear no state, and
   * commands, may follow it: a force-disconnect itself changes no state.
   * - A client nobody knows counts as offline.
   * - Online means with this very handshake and its facts.
   * - Why a client is offline is claimed where this message took it offline; later ones do not rewrite the reason.
   * - After a goodbye the broker still retains the handshake; there only `offline` is claimed.
   */
  it('registry and broker agree after any sequence of messages of one client through one lane', () => {
    fc.assert(
      fc.property(story, fc.boolean(), (messages, registered) => {
        let connection = registered ? online() : undefined;
        let expected: { state: string; handshake?: string; facts?: unknown; reason?: string } = {
          state: registered ? 'online' : 'offline',
          ...(registered && { handshake: 'h-1', facts: { fqdn: 'host-1' } }),
        };
        for (const message of messages) {
          const before = connection;
          connection = transition(before, message, RULES).connection;
          const said = message.kind === 'packet' ? stateBorneBy(message, before) : undefined;
          if (said !== undefined) {
            expected = said;
            if (said.reason !== undefined && before?.state === 'online') {
              expect(connection?.offline_reason).toBe(said.reason);
            }
          }
          expect(connection?.state ?? 'offline').toBe(expected.state);
          if (expected.state === 'online') {
            expect(connection).toMatchObject({
              handshake_message_id: expected.handshake,
              facts: expected.facts,
              offline_reason: null,
            });
          } else if (connection !== undefined) {
            expect(connection.offline_reason).not.toBeNull();
            expect(connection.disconnected_at).not.toBeNull();
          }
        }
      }),
      { numRuns: 600 },
    );
  });

  function stateBorneBy(
    { retain, refused, body, at }: PacketMessage,
    before: Connection | undefined,
  ): { state: string; handshake?: string; facts?: unknown; reason?: string } | undefined {
    if (!retain) return body.includes('"offline"') ? { state: 'offline', reason: 'goodbye' } : undefined;
    if (refused !== undefined) return { state: 'offline', reason: 'unknown' };
    const found = truth(body, before?.refused_until ?? null, at);
    if (found.state === 'offline') return { state: 'offline', reason: found.reason };
    const { handshake } = found;
    const facts =
      handshake.type === 'host-handshake' ? handshake.payload.canonical_facts : handshake.payload.catalog_service_facts;
    return { state: 'online', handshake: handshake.message_id, facts };
  }

  /**
   * What a lane gets again after a crash is a contiguous suffix of what was applied, in its order. Claimed for packets
   * of every kind on one or two status topics and one that carries no state, last wills with one id for all
   * connections included, from any start and through any number of crashes: the registry ends as if each packet had
   * come once. The times of its connection and of its last message may differ.
   * - The id of a handshake stands for what it says: two different ones with the same id are against the protocol.
   * - No command comes between; what one decides is decided by the time of the redelivery.
   */
  it.each([
    ['one topic for everything', RULES],
    ['a status topic of its own', SPLIT],
    ['two status topics, one of them for everything', MOVING],
    ['two status topics of their own', { ...RULES, statusTopics: [STATUS, OTHER_STATUS] }],
  ])('the registry ends the same if the last packets that were applied come again: %s', (_, rules) => {
    const topics = fc.constantFrom(...new Set([...rules.statusTopics, IN]));
    const starts = [undefined, ...rules.statusTopics.flatMap((topic) => [online(rules, topic), away(rules, topic)])];
    const sequence = fc
      .array(
        fc.tuple(fc.oneof({ weight: 3, arbitrary: anyPacket }, constantWill), topics).map(([one, topic]) => ({
          ...one,
          topic,
        })),
        { minLength: 1, maxLength: 10 },
      )
      .map((messages) => messages.map((message, i) => ({ ...message, at: T0 + i * SECOND })));
    const crashes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.constantFrom(...starts), sequence, crashes, (start, messages, lengths) => {
        const once = play(rules, start, ...messages).connection;
        const applied = [...messages];
        for (const length of lengths) {
          const at = T0 + applied.length * SECOND;
          applied.push(...applied.slice(-length).map((message) => ({ ...message, dup: true, at })));
        }
        expect(stateOf(play(rules, start, ...applied).connection)).toEqual(stateOf(once));
      }),
      { numRuns: 1500 },
    );
  });

  function away(rules: Rules, topic: string): Connection {
    return known(play(rules, online(rules, topic), offline('o-1', { topic })).connection);
  }

  function stateOf(connection: Connection | undefined): unknown {
    if (connection === undefined) return undefined;
    const { state, type, facts, status_topic, handshake_message_id, offline_reason } = connection;
    return { state, type, facts, status_topic, handshake_message_id, offline_reason };
  }
});

describe('transition', () => {
  function frozen<T>(value: T): T {
    if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
    return value;
  }

  it('transition is pure: it does not change its arguments, and gives the same result again', () => {
    fc.assert(
      fc.property(story, (messages) => {
        const before = frozen(play(RULES, online(), ...messages).connection);
        const next = frozen(messages.at(-1) ?? packet(''));
        expect(transition(before, next, RULES)).toEqual(transition(before, next, RULES));
      }),
      { numRuns: 100 },
    );
  });

  it('online and offline events are emitted in turns', () => {
    fc.assert(
      fc.property(story, (messages) => {
        const turns = eventsOf(play(RULES, undefined, ...messages))
          .map(({ type }) => type)
          .filter((type) => type === 'connection.online' || type === 'connection.offline');
        turns.forEach((type, i) => {
          expect(type).toBe(i % 2 === 0 ? 'connection.online' : 'connection.offline');
        });
      }),
      { numRuns: 300 },
    );
  });
});
