import {
  CLIENT,
  ENVELOPE,
  IN,
  RULES,
  SECOND,
  SPLIT,
  STATUS,
  T0,
  command,
  eventsOf,
  goodbye,
  host,
  known,
  lettersOf,
  messageError,
  messageProgress,
  messageResponse,
  notesOf,
  online,
  packet,
  play,
  reportedAnswersOf,
  type PacketMessage,
  type PacketOverrides,
} from '../../../../test/support/transitions.js';
import { transition } from './transition.js';

const ABOUT = { ...ENVELOPE, type: 'message', directive: 'demo:alert' };

function clientMessage(id: string, overrides: PacketOverrides = {}, more: object = {}): PacketMessage {
  return packet({ ...ABOUT, message_id: id, payload: { disk: 'full' }, ...more }, { retain: false, ...overrides });
}

const EVENT = {
  type: 'client.message',
  client_id: CLIENT,
  message_id: 'c-1',
  directive: 'demo:alert',
  payload_json: '{"disk":"full"}',
};

describe('a message of a client', () => {
  it('a message is emitted with its payload as it was written, and changes nothing of the connection but its times', () => {
    const before = online();
    const outcome = transition(before, clientMessage('c-1', { at: T0 + SECOND }), RULES);
    expect(outcome.effects).toEqual([{ kind: 'event', event: EVENT }]);
    const { applied_messages } = known(outcome.connection);
    expect(outcome.connection).toEqual({ ...before, last_message_at: T0 + SECOND, applied_messages });
    const written = `{"type":"message","message_id":"c-2","version":1,"sent":"${ENVELOPE.sent}","directive":"d","payload":[1e400,\n-0]}`;
    expect(eventsOf(transition(before, packet(written, { retain: false }), RULES))).toMatchObject([
      { payload_json: '[1e400, -0]' },
    ]);
  });

  it('a message may name the message that it is about, and may have no payload', () => {
    const message = clientMessage('c-1', {}, { payload: undefined, in_response_to: 'sent-1' });
    const event = { ...EVENT, payload_json: undefined, in_response_to: 'sent-1' };
    expect(eventsOf(transition(online(), message, RULES))).toEqual([event]);
  });

  it.each([true, false])('a message has its effect once by its id, with dup: %s', (dup) => {
    const { connection } = transition(online(), clientMessage('c-1'), RULES);
    const repeated = transition(connection, clientMessage('c-1', { dup, at: T0 + SECOND }), RULES);
    expect(repeated.effects).toEqual([]);
    expect(eventsOf(transition(connection, clientMessage('c-2'), RULES))).toHaveLength(1);
  });

  it('a message of an offline client counts', () => {
    expect(eventsOf(play(RULES, play(RULES, online(), goodbye('o-1')).connection, clientMessage('c-1')))).toEqual([
      EVENT,
    ]);
  });

  it('a message of a client that was sent away counts until it is offline', () => {
    const sentAway = play(RULES, online(), command({ do: 'force-disconnect', reconnect_after: 'PT1H' })).connection;
    expect(eventsOf(play(RULES, sentAway, clientMessage('c-1')))).toEqual([EVENT]);
    const gone = play(RULES, sentAway, goodbye('o-1')).connection;
    expect(lettersOf(play(RULES, gone, clientMessage('c-1')))).toMatchObject([{ reason: 'not-connected' }]);
  });

  it.each([
    ['never shook hands', undefined],
    ['was forgotten', play(RULES, online(), goodbye('o-1'), command({ do: 'forget' })).connection],
    [
      'is refused',
      play(RULES, online(), command({ do: 'force-disconnect', reconnect_after: 'PT1H' }), goodbye('o-1'), host('h-2'))
        .connection,
    ],
  ])('a message of a client that %s is a dead letter, and is not emitted', (_, before) => {
    const outcome = play(RULES, before, clientMessage('c-1'));
    expect(eventsOf(outcome)).toEqual([]);
    expect(lettersOf(outcome)).toMatchObject([{ client_id: CLIENT, topic: IN, reason: 'not-connected' }]);
    expect(outcome.connection?.state).toBe(before?.state);
    // A client without a record is dead-lettered each time.
    const repeated = play(RULES, outcome.connection, clientMessage('c-1'));
    expect(lettersOf(repeated)).toHaveLength(before === undefined ? 1 : 0);
  });

  it('a refused client counts again after a handshake that is accepted', () => {
    const refused = play(
      RULES,
      ...[online(), command({ do: 'force-disconnect', reconnect_after: 'PT1S' }), goodbye('o-1'), host('h-2')],
    ).connection;
    const at = T0 + 10 * SECOND;
    expect(lettersOf(play(RULES, refused, clientMessage('c-1', { at })))).toHaveLength(1);
    expect(eventsOf(play(RULES, refused, host('h-3', { at }), clientMessage('c-2', { at })))).toMatchObject([
      { type: 'connection.online' },
      { message_id: 'c-2' },
    ]);
  });

  it('a message that is retained on a status topic takes the client offline, is a dead letter, and is emitted once', () => {
    const retained = clientMessage('c-1', { retain: true });
    const first = transition(online(), retained, RULES);
    expect(first.connection).toMatchObject({ state: 'offline', offline_reason: 'unknown' });
    expect(lettersOf(first)).toMatchObject([{ reason: 'wrong-shape' }]);
    expect(eventsOf(first)).toEqual([{ type: 'connection.offline', client_id: CLIENT, reason: 'unknown' }, EVENT]);
    const repeated = play(RULES, first.connection, host('h-2'), retained);
    expect(lettersOf(repeated)).toEqual([]);
    expect(eventsOf(repeated).map(({ type }) => type)).toEqual(['connection.online', 'connection.offline']);
  });

  it('a message that an unknown client retains on a status topic is a dead letter alone', () => {
    const outcome = play(RULES, undefined, clientMessage('c-1', { retain: true }));
    expect(outcome.connection).toBeUndefined();
    expect(eventsOf(outcome)).toEqual([]);
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'wrong-shape' }]);
  });

  it('a message that is retained beside the status topics does not change the state', () => {
    const outcome = play(SPLIT, online(SPLIT, STATUS), clientMessage('c-1', { retain: true }));
    expect(outcome.connection?.state).toBe('online');
    expect(eventsOf(outcome)).toEqual([EVENT]);
  });
});

const RESPONSE = { type: 'message-response', messageId: 'r-1', inResponseTo: 'sent-1', payloadJson: '{"pong":1}' };

describe('a message-response', () => {
  it('an answer is reported with its payload as it was written, and changes nothing of the connection but its times', () => {
    const before = online();
    const outcome = transition(before, messageResponse('r-1', { at: T0 + SECOND }), RULES);
    expect(outcome.effects).toEqual([{ kind: 'answer', answer: RESPONSE }]);
    const { applied_messages } = known(outcome.connection);
    expect(outcome.connection).toEqual({ ...before, last_message_at: T0 + SECOND, applied_messages });
    const body = JSON.stringify({ ...ENVELOPE, ...RESPONSE, message_id: 'r-2', in_response_to: 'sent-1', payload: 0 });
    const written = packet(body.replace('"payload":0', '"payload":[1e400,\n-0]'), { retain: false });
    expect(reportedAnswersOf(transition(before, written, RULES))).toMatchObject([{ payloadJson: '[1e400, -0]' }]);
  });

  it('an answer without payload has none, and one of null has it', () => {
    const payloadOf = (payload: unknown): unknown =>
      reportedAnswersOf(transition(online(), messageResponse('r-1', {}, { payload }), RULES))[0];
    expect(payloadOf(undefined)).not.toHaveProperty('payloadJson');
    expect(payloadOf(null)).toMatchObject({ payloadJson: 'null' });
  });

  it.each([messageResponse, messageError])('an answer has its effect once by its id', (answer) => {
    const { connection } = transition(online(), answer('r-1'), RULES);
    expect(transition(connection, answer('r-1', { dup: true }), RULES).effects).toEqual([]);
    expect(transition(connection, answer('r-2'), RULES).effects).toHaveLength(1);
  });

  it('an answer counts from any client, since the message says whom it was meant for', () => {
    const outcome = play(RULES, undefined, messageResponse('r-1'));
    expect(outcome).toEqual({ connection: undefined, effects: [{ kind: 'answer', answer: RESPONSE }] });
  });

  it('an answer that is retained on a status topic counts once, and takes the client offline', () => {
    const retained = messageResponse('r-1', { retain: true });
    const first = transition(online(), retained, RULES);
    expect(first.connection).toMatchObject({ state: 'offline', offline_reason: 'unknown' });
    expect(lettersOf(first)).toMatchObject([
      {
        reason: 'wrong-shape',
        details: 'a message-response must not be retained: it took the place of the handshake',
      },
    ]);
    expect(reportedAnswersOf(first)).toEqual([RESPONSE]);
    expect(notesOf(first)).toEqual([]);
    expect(reportedAnswersOf(play(RULES, first.connection, host('h-2'), retained))).toEqual([]);
  });
});

describe('a message-progress', () => {
  it.each([[{ percent: 40, details: 'copying' }], [{ percent: 0 }], [{ details: '' }]])(
    'progress is reported: %j',
    (payload) => {
      const outcome = transition(online(), messageProgress('p-1', { ...payload, extra: 1 }), RULES);
      const progress = { messageId: 'p-1', inResponseTo: 'sent-1', ...payload };
      expect(outcome.effects).toEqual([{ kind: 'progress', progress }]);
      expect(transition(outcome.connection, messageProgress('p-1', payload), RULES).effects).toEqual([]);
    },
  );

  it('details of progress are cut to 1,000 characters', () => {
    const outcome = transition(online(), messageProgress('p-1', { details: 'x'.repeat(2000) }), RULES);
    expect(outcome.effects).toMatchObject([{ progress: { details: 'x'.repeat(1000) } }]);
  });
});

describe('an answer that cannot be read', () => {
  const large = { body: messageResponse('r-1').body.slice(0, -5), refused: 'too-large' } as const;

  it.each([
    ['too large', large, 'too-large', 'an answer did not count: the message is larger than 262144 bytes'],
    [
      'not UTF-8',
      { ...large, refused: 'not-utf8' },
      'not-utf8',
      'an answer did not count: the message is not UTF-8 text',
    ],
    [
      'no JSON',
      { body: large.body },
      'not-json',
      'an answer did not count: the message is not JSON; a JSON object is expected',
    ],
    [
      'of another version',
      { body: messageResponse('r-1', {}, { version: 2 }).body },
      'unsupported-version',
      'an answer did not count: version must be 1',
    ],
  ] as const)('an answer that is %s is a dead letter, and is named in the history of its message, once', (...given) => {
    const [, overrides, reason, details] = given;
    const answer = messageResponse('r-1', overrides);
    const first = transition(online(), answer, RULES);
    expect(lettersOf(first)).toMatchObject([{ reason }]);
    expect(notesOf(first)).toEqual([{ inResponseTo: 'sent-1', details }]);
    expect(reportedAnswersOf(first)).toEqual([]);
    expect(transition(first.connection, answer, RULES).effects).toEqual([]);
    const retained = transition(online(), messageResponse('r-1', { ...overrides, retain: true }), RULES);
    expect(notesOf(retained)).toEqual([{ inResponseTo: 'sent-1', details }]);
    expect(retained.connection?.state).toBe('offline');
  });

  it('what is too large and names no message is a dead letter alone, each time', () => {
    const answer = packet('{"type":"message-response","payload":"xxx', { retain: false, refused: 'too-large' });
    const outcome = play(RULES, online(), answer, answer);
    expect(lettersOf(outcome)).toHaveLength(2);
    expect(notesOf(outcome)).toEqual([]);
  });

  it('progress that cannot be read is a dead letter alone', () => {
    const outcome = transition(online(), messageProgress('p-1', {}), RULES);
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'wrong-shape' }]);
    expect(notesOf(outcome)).toEqual([]);
  });
});
