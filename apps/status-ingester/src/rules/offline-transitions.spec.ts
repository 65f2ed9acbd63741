import {
  CLIENT,
  IN,
  STATUS,
  T0,
  SECOND,
  RETENTION,
  RULES,
  SPLIT,
  MOVING,
  packet,
  host,
  offline,
  goodbye,
  messageError,
  play,
  online,
  known,
  eventsOf,
  lettersOf,
  answersOf,
  type PacketMessage,
  withoutIds,
} from '../../../../test/support/transitions.js';
import type { Effect, Transition } from './effect.js';
import { transition } from './transition.js';

describe('an end of a connection', () => {
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

  it('an offline message on a topic that carries no state becomes a dead letter, is not answered, and changes no state', () => {
    const before = online(SPLIT, STATUS);
    for (const retain of [true, false]) {
      const outcome = play(SPLIT, before, offline('o-1', { topic: IN, retain }));
      expect(withoutIds(outcome.connection)).toEqual(before);
      expect(lettersOf(outcome)).toMatchObject([
        { reason: 'wrong-topic', details: `connection state belongs on ${STATUS}` },
      ]);
      expect(answersOf(outcome)).toEqual([]);
      expect(eventsOf(outcome)).toEqual([]);
    }
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

  it('a redelivery does what a first delivery does, and is verified if it bears state', () => {
    const error = messageError('e-1');
    for (const message of [host('h-2'), offline('o-1'), goodbye('o-1'), packet(''), error]) {
      for (const lanes of [1, 2]) {
        const rules = { ...RULES, lanes };
        const { connection, effects } = transition(online(), message, rules);
        const verification = message === error ? [] : [{ kind: 'verify', reason: 'redelivery' }];
        const again = transition(online(), { ...message, dup: true }, rules);
        expect(again).toEqual({ connection, effects: [...effects, ...verification] });
      }
    }
  });
});
