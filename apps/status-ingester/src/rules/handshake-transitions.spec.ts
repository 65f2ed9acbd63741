import {
  CLIENT,
  IN,
  STATUS,
  OTHER_STATUS,
  T0,
  SECOND,
  RULES,
  SPLIT,
  ENVELOPE,
  packet,
  host,
  proxy,
  invalidHandshake,
  offline,
  goodbye,
  play,
  online,
  known,
  eventsOf,
  lettersOf,
  answersOf,
} from '../../../../test/support/transitions.js';
import { transition } from './transition.js';

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
      effects: dup ? [{ kind: 'verify', reason: 'redelivery' }] : [],
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
      expect(answersOf(outcome)).toEqual([
        { type: 'handshake-error', in_response_to: 'h-9', payload: { details, reason: 'not-retained' } },
      ]);
      expect(lettersOf(outcome)).toEqual([
        { client_id: CLIENT, topic: IN, reason: 'not-retained', details, sample: host('h-9').body },
      ]);
      expect(eventsOf(outcome)).toEqual([
        { type: 'connection.refused', client_id: CLIENT, reason: 'not-retained', message_id: 'h-9' },
      ]);
    }
  });

  it('a handshake that may have lost its retain flag is accepted and verified, since a refusal could be wrong', () => {
    for (const before of [undefined, online()]) {
      const outcome = play(RULES, before, host('h-9', { retain: false, mayBeRetained: true }));
      expect(outcome.connection).toMatchObject({ state: 'online', handshake_message_id: 'h-9' });
      expect([answersOf(outcome), lettersOf(outcome)]).toEqual([[], []]);
      expect(outcome.effects).toContainEqual({ kind: 'verify', reason: 'dropped' });
    }
  });

  it.each([true, false])(
    'a handshake on a topic that carries no state is refused, and the answer names the right topic (retained: %s)',
    (retain) => {
      const before = online(SPLIT, STATUS);
      const outcome = play(SPLIT, before, host('h-9', { topic: IN, retain }));
      const details = `connection state belongs on ${STATUS}: publish the handshake there`;
      expect(outcome.connection).toBe(before);
      expect(answersOf(outcome)).toEqual([
        { type: 'handshake-error', in_response_to: 'h-9', payload: { details, reason: 'wrong-topic' } },
      ]);
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
        payload: { details: expect.stringContaining('payload.canonical_facts: ') as unknown, reason: 'wrong-shape' },
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
