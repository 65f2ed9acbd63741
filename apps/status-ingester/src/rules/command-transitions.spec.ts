import { THROTTLE_WINDOW_MS, type Command, type Connection, type MailboxMessage } from '@app/registry';
import {
  CLIENT,
  UUID,
  IN,
  T0,
  SECOND,
  RETENTION,
  REPLY,
  RULES,
  packet,
  host,
  offline,
  goodbye,
  messageError,
  command,
  play,
  online,
  known,
  eventsOf,
  lettersOf,
  todosOf,
  answersOf,
  repliesOf,
} from '../../../../test/support/transitions.js';

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
      // Without another to-do the connection would be kept for ever.
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
    const payload = { details, reason: 'refused-until', retry_after: 'PT20S' };
    expect(answersOf(outcome)).toEqual([{ type: 'handshake-error', in_response_to: 'h-2', payload }]);
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
