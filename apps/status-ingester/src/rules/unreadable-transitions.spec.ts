import {
  CLIENT,
  IN,
  STATUS,
  T0,
  SECOND,
  RULES,
  SPLIT,
  ENVELOPE,
  packet,
  invalidHandshake,
  goodbye,
  messageError,
  play,
  online,
  known,
  eventsOf,
  lettersOf,
  reportedAnswersOf,
  todosOf,
  answersOf,
  type PacketMessage,
  withoutIds,
} from '../../../../test/support/transitions.js';

describe('a retained message that is no handshake', () => {
  it.each([
    ['text that is not JSON', 'hello', 'not-json', 'unknown'],
    ['JSON that is no object', '[1]', 'wrong-shape', 'unknown'],
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
    expect(todosOf(outcome)).toEqual([{ do: 'forget', client_id: CLIENT }]);
    expect(reportedAnswersOf(outcome)).toEqual([
      { type: 'message-error', messageId: 'e-1', inResponseTo: 'sent-1', details: 'no disk' },
    ]);
    expect(answersOf(outcome)).toEqual([]);
  });

  it('a retained message-error of a client that never registered fails the message it is about', () => {
    const outcome = play(SPLIT, undefined, messageError('e-1', { topic: STATUS, retain: true }));
    expect(outcome.connection).toBeUndefined();
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'wrong-shape' }]);
    expect(reportedAnswersOf(outcome)).toMatchObject([{ inResponseTo: 'sent-1' }]);
  });

  it('a retained message-error on a topic that carries no state does not change the state', () => {
    const outcome = play(SPLIT, online(SPLIT, STATUS), messageError('e-1', { retain: true }));
    expect(outcome.connection?.state).toBe('online');
    expect(lettersOf(outcome)).toEqual([]);
    expect(reportedAnswersOf(outcome)).toHaveLength(1);
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
    ['text that is not JSON', packet('hello', { retain: false }), 'not-json'],
    ['JSON that is no object', packet('[]', { retain: false }), 'wrong-shape'],
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
    'a message that cannot be processed becomes a dead letter, is not answered on `in`, and changes no state: %s',
    (_, message, reason) => {
      for (const before of [undefined, online()]) {
        const outcome = play(RULES, before, message);
        expect(withoutIds(outcome.connection)).toEqual(before);
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
    ['text that is not JSON', 'hello', undefined],
    ['JSON that is no object', 'null', undefined],
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
          {
            type: 'handshake-error',
            in_response_to: null,
            payload: { details: letter?.details, reason: letter?.reason },
          },
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
      const applied_messages = expect.any(String) as string;
      expect(outcome.connection).toEqual({ ...before, last_message_at: T0 + SECOND, applied_messages });
      expect(outcome.effects).toEqual([
        {
          kind: 'answer',
          answer: { type: 'message-error', messageId: 'e-1', inResponseTo: 'sent-1', details: 'no disk' },
        },
      ]);
    },
  );

  it('a message-error of a client that never registered is passed on, and does not make the client known', () => {
    const outcome = play(RULES, undefined, messageError('e-1'));
    expect(outcome.connection).toBeUndefined();
    expect(reportedAnswersOf(outcome)).toMatchObject([{ inResponseTo: 'sent-1' }]);
  });

  it('a message-error is accepted on any topic if state has its own topic', () => {
    for (const topic of [IN, STATUS]) {
      expect(reportedAnswersOf(play(SPLIT, undefined, messageError('e-1', { topic })))).toHaveLength(1);
    }
  });

  it.each([
    ['x'.repeat(5000), 'x'.repeat(1000)],
    ['x'.repeat(1000), 'x'.repeat(1000)],
    // Truncation does not split a surrogate pair.
    ['x'.repeat(999) + '\u{1F600}', 'x'.repeat(999) + '\uFFFD'],
    ['x'.repeat(998) + '\u{1F600}y', 'x'.repeat(998) + '\u{1F600}'],
    // A lone surrogate from the client does not reach Redis either.
    ['\uD83D', '\uFFFD'],
  ])('a message-error is cut to 1,000 characters of well-formed details (case %#)', (details, kept) => {
    const about = { type: 'message-error', message_id: 'e-1', in_response_to: 'sent-1', payload: { details } };
    for (const retain of [true, false]) {
      const outcome = play(RULES, undefined, packet({ ...ENVELOPE, ...about }, { retain }));
      expect(reportedAnswersOf(outcome)).toEqual([
        { type: 'message-error', messageId: 'e-1', inResponseTo: 'sent-1', details: kept },
      ]);
    }
  });
});
