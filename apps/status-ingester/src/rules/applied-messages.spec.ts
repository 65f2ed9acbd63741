import { encodeConnection } from '@app/registry';
import {
  ENVELOPE,
  IN,
  RULES,
  SECOND,
  SPLIT,
  STATUS,
  T0,
  answersOf,
  command,
  goodbye,
  host,
  known,
  lettersOf,
  messageError,
  online,
  packet,
  play,
  proxy,
  reportedAnswersOf,
} from '../../../../test/support/transitions.js';
import { MOST_APPLIED, rememberApplied, wasApplied } from './applied-messages.js';
import { transition } from './transition.js';

describe('a message-error that is delivered again', () => {
  const applied = known(transition(online(), messageError('e-1'), RULES).connection);

  it.each([true, false])('a message-error has its effect once, with dup: %s', (dup) => {
    const repeated = transition(applied, messageError('e-1', { dup, at: T0 + SECOND }), RULES);
    expect(repeated).toEqual({ connection: { ...applied, last_message_at: T0 + SECOND }, effects: [] });
  });

  it('a message-error with another id has its effect', () => {
    expect(reportedAnswersOf(transition(applied, messageError('e-2'), RULES))).toMatchObject([{ messageId: 'e-2' }]);
  });

  it('a message-error is remembered while the client says goodbye, shakes hands again and is disconnected by force', () => {
    const messages = [goodbye('o-1'), proxy('h-2'), command({ do: 'force-disconnect', reconnect_after: 'PT1S' })];
    const later = play(RULES, applied, ...messages).connection;
    expect(reportedAnswersOf(transition(later, messageError('e-1'), RULES))).toEqual([]);
  });

  it('a message-error of an unknown client has its effect each time, since there is no record to remember it', () => {
    const outcome = play(RULES, undefined, messageError('e-1'), messageError('e-1'));
    expect(outcome.connection).toBeUndefined();
    expect(reportedAnswersOf(outcome)).toHaveLength(2);
  });

  it('a message-error that is retained has one effect and one dead letter, and takes the client offline each time', () => {
    const retained = messageError('e-1', { retain: true });
    const first = transition(online(), retained, RULES);
    expect(reportedAnswersOf(first)).toMatchObject([{ type: 'message-error' }]);
    expect(lettersOf(first)).toHaveLength(1);
    const repeated = play(RULES, first.connection, host('h-2'), retained);
    expect(reportedAnswersOf(repeated)).toEqual([]);
    expect(lettersOf(repeated)).toEqual([]);
    expect(repeated.connection).toMatchObject({ state: 'offline', offline_reason: 'unknown' });
    expect(repeated.connection?.dead_letter_digest).toBe(first.connection?.dead_letter_digest);
  });

  it('a message-error that is retained beside the status topics has its effect once', () => {
    const retained = messageError('e-1', { retain: true, topic: IN });
    expect(
      reportedAnswersOf(play(SPLIT, online(SPLIT, 'redhat/insights/status/{clientId}'), retained, retained)),
    ).toHaveLength(1);
  });
});

describe('a message that cannot be processed and is delivered again', () => {
  const unknownType = packet({ ...ENVELOPE, type: 'greeting', message_id: 'g-1' }, { retain: false });

  it.each([
    ['of an unknown type', RULES, online(), unknownType],
    ['on the wrong topic', SPLIT, online(SPLIT, STATUS), goodbye('o-1', { topic: IN })],
  ] as const)('a message %s becomes a dead letter once by its id', (_, rules, before, message) => {
    expect(lettersOf(play(rules, before, message, message))).toHaveLength(1);
    expect(lettersOf(play(rules, undefined, message, message))).toHaveLength(2);
  });

  it('a message without a readable id becomes a dead letter each time', () => {
    const text = packet('not JSON', { retain: false });
    expect(lettersOf(play(RULES, online(), text, text))).toHaveLength(2);
  });

  it('a handshake that is not retained is refused each time, since the client may have missed the first reply', () => {
    const handshake = host('h-2', { retain: false });
    expect(answersOf(play(RULES, online(), handshake, handshake))).toHaveLength(2);
  });
});

describe('the ids that a connection remembers', () => {
  it('are the last 64, of any text', () => {
    const ids = Array.from({ length: MOST_APPLIED + 1 }, (_, i) => `ü ${'x'.repeat(100)} ${i}`);
    const [oldest = '', ...rest] = ids;
    let connection: ReturnType<typeof rememberApplied> = online();
    for (const id of ids) connection = rememberApplied(connection, id);
    expect(wasApplied(connection, oldest)).toBe(false);
    for (const id of rest) expect(wasApplied(connection, id)).toBe(true);
  });

  it('cost nothing without such a message, and 1,032 bytes of the record at most', () => {
    const before = online();
    let connection: ReturnType<typeof rememberApplied> = before;
    for (let i = 0; i < 2 * MOST_APPLIED; i++) connection = rememberApplied(connection, `e-${i}`);
    expect(encodeConnection(before)).not.toContain('applied_messages');
    expect(encodeConnection(known(connection)).length - encodeConnection(before).length).toBe(1032);
  });

  it('are written for no handshake and no goodbye', () => {
    const { connection } = play(RULES, undefined, host('h-1'), goodbye('o-1'), host('h-2'));
    expect(connection).not.toHaveProperty('applied_messages');
  });
});
